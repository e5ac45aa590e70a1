package workflow_test

import (
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow"
)

// TestExportCoversTables: each table and column is exported to the person, or omitted with a reason.
func TestExportCoversTables(t *testing.T) {
	t.Parallel()
	actortest.CheckExport(t, workflow.ExportSet(), workflow.Migrations)
}
