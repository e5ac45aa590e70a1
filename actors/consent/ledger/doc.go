// Package ledger is the transparency log of consents: a Merkle tree over the entries of the stream CONSENT_LEDGER (RFC 6962 §2.1), which is
// served as C2SP tlog-tiles with signed checkpoints.
//
// A leaf of the tree is the SHA-256 of an entry as the stream has it: ciphertext under the key of its subject, and so nothing about a person
// can be read from the tree. Erasing a person deletes the key; the tree stays as it is and all proofs remain valid.
//
// It owns the tables ledger_state, ledger_tiles and ledger_leaves. One process at a time, the sequencer, adds entries; a commit is fenced
// by the size of the tree, so that a sequencer that was paused cannot fork it. It does not know what a consent is.
package ledger
