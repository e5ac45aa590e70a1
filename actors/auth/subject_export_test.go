package auth_test

import (
	"context"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/auth/holdings"
	"github.com/weftmesh/weft/actors/dataexport"
)

// TestExportCoversTables: each table and column is exported to the person, or omitted with a reason.
func TestExportCoversTables(t *testing.T) {
	t.Parallel()
	actortest.CheckExport(t, holdings.Set(auth.Sealed, func(context.Context, string) ([]dataexport.Record, error) { return nil, nil }), auth.Migrations)
}
