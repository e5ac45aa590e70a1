package database_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/weftmesh/weft/actors/database"
)

func TestOneRow(t *testing.T) {
	t.Parallel()
	missing, failure := errors.New("missing"), errors.New("failure")
	if err := database.OneRow(nil, "reading", missing); err != nil {
		t.Errorf("a row is found: %v", err)
	}
	if err := database.OneRow(sql.ErrNoRows, "reading", missing); !errors.Is(err, missing) || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
	if err := database.OneRow(failure, "reading", missing); errors.Is(err, missing) || !errors.Is(err, failure) || err.Error() != "reading: failure" {
		t.Errorf("a failed query: %v", err)
	}
}
