package workflow_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// sizedExecutions is how many executions are measured, maxExecutionBytes what one may take on disk.
	sizedExecutions   = 1000
	maxExecutionBytes = 2048
)

// TestSizeOfExecutions: an execution of three steps takes 2 KB on disk at most, with its history and in all indexes.
func TestSizeOfExecutions(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		m := actortest.Start(t, actortest.Quiet())
		user, cfg := actortest.User(), kind.Config(t, "workflow")
		as := mesh.As{Token: m.Token(t, user)}
		m.Consent(t, user, subjects.ScopeWorkflowsExecute)
		hosted := m.Host(t, "workflow", cfg, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := workflow.New(d, workflow.DefaultConfig())
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		})
		caller := m.Conn(t, "gateway")
		w, err := mesh.Call(t.Context(), caller, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: []byte(
			strconv.Quote(workflowOf("- a: {call: echo, with: {n: 1}}\n- b: {call: echo, with: {n: 2}}\n- c: {call: echo, with: {n: 3}}\n")),
		)}, as)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for range sizedExecutions / 20 {
					e, err := mesh.Call(t.Context(), caller, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID}, as)
					if err != nil || e.Status != subjects.ExecutionCompleted {
						t.Errorf("the execution is %s, %v", e.Status, err)
					}
				}
			})
		}
		group.Wait()
		if err := hosted.Stop(t); err != nil {
			t.Fatal(err)
		}
		var total int64
		var parts []string
		for _, part := range sizesOf(t, cfg, "executions", "execution_histories") {
			total += part.Bytes
			parts = append(parts, fmt.Sprintf("%s %d", part.Name, part.Bytes/sizedExecutions))
		}
		t.Logf("bytes an execution: %d: %s", total/sizedExecutions, strings.Join(parts, ", "))
		if total/sizedExecutions > maxExecutionBytes {
			t.Errorf("an execution takes %d bytes, at most %d are allowed: %s", total/sizedExecutions, maxExecutionBytes, strings.Join(parts, ", "))
		}
	})
}

// size is what a table or an index takes on disk.
type size struct {
	Name  string
	Bytes int64
}

// sizesOf returns the sizes of tables and of their indexes, the largest first.
func sizesOf(t *testing.T, cfg database.Config, tables ...string) (sizes []size) {
	t.Helper()
	db, err := database.Open(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	query := `SELECT s.name, sum(s.pgsize) AS bytes FROM dbstat AS s JOIN sqlite_master AS m ON m.name = s.name WHERE m.tbl_name IN ('` +
		strings.Join(tables, "', '") + `') GROUP BY s.name`
	if db.Dialect() == database.DialectPostgres {
		query = `SELECT c.relname AS name, pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) AS bytes
			FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid WHERE coalesce(i.indrelid, c.oid) IN ('` +
			strings.Join(tables, "'::regclass, '") + `'::regclass)`
	}
	if err := db.NewRaw(query).Scan(t.Context(), &sizes); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(sizes, func(a, b size) int { return int(b.Bytes - a.Bytes) })
	return sizes
}
