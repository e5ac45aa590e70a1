// Package embedded is the NATS server inside weft: it writes a server's folder (configuration and keys)
// and runs a server from it, with the very file that a server of the operator's own would run with.
//
// It decides nothing about who may do what: that is in nats.conf, which package mesh derives from the
// contract.
package embedded
