// Package backup makes, verifies and restores backups: one archive with the SQLite databases, the streams and buckets, and, encrypted, the keys of an
// installation, all of one moment. docs/backup.md describes what that moment promises.
//
// The archive is a tar of compressed members. Its first member, manifest.json, lists the others with their sizes and SHA-256; its last one has the
// SHA-256 of the manifest, so that a shortened archive is recognised. An archive gets its name only when it is complete.
//
// It owns no subject and writes to no database: package database holds writers off and copies files, package mesh reads and restores streams.
package backup
