// Package embedded runs the NATS server inside weft. It writes a server's folder (configuration and keys) and runs a server from
// it, with the same configuration file that a separate nats-server would use.
//
// The permissions are in nats.conf, which package mesh derives from the contract.
package embedded
