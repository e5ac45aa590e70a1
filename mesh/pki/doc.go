// Package pki makes the private certificate authority of a NATS cluster and its certificates, and checks certificate files.
//
// Keys are ECDSA P-256 (FIPS 186-5). Certificates follow RFC 5280. A certificate for connections between servers may be used on both
// ends of a connection, one for clients' connections only by the server, and one of a client only by a client.
package pki
