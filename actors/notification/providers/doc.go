// Package providers sends messages by the APIs of others: one file for each provider, with its settings, its requests and the meaning of
// its errors.
//
// Every provider takes the same conformance suite (conformance_test.go). All HTTP calls go through egress. No error contains a secret, an
// address or content.
package providers
