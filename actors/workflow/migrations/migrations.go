// Package migrations holds the tables of the workflow actor, for the actor and for the engine's tests.
package migrations

import "embed"

// Files are the migrations, for database.Migrate.
//
//go:embed *.sql
var Files embed.FS
