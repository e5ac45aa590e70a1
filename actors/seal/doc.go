// Package seal owns encryption at rest: an actor's Sealer with its keyset file, data keys for single objects, and the rotation of
// the key in the file and in the database.
//
// A sealed value is bound to its row and column by associated data and cannot be opened elsewhere. The package refuses a keyset file
// that other users can read, a value that was changed or moved, and a rotation while another one of the same file is running. It
// does not know which columns are sealed: every actor lists its own.
package seal
