package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// maxCached bounds each of the actor's caches, in entries, maxCachedBytes the parsed definitions together, in bytes of memory.
const (
	maxCached      = 1000
	maxCachedBytes = 64 << 20
)

// definitions reads stored versions of workflows, parsed, and the documents that new definitions refer to. Versions are
// immutable, so the cache of parsed ones needs no invalidation.
type definitions struct {
	db     *database.DB
	egress *egress.Client
	parsed *actors.WeighedCache[versionKey, storedVersion]
}

// storedVersion is a version of a workflow: its definition, and whose authority its scheduled runs have.
type storedVersion struct {
	def    *language.Workflow
	author mesh.Authority
	// functions are the versions of extensions' functions that the definition was checked with, by name.
	functions map[string]string
}

type versionKey struct {
	workflowID string
	version    int
}

func newDefinitions(db *database.DB, client *egress.Client) *definitions {
	parsed := actors.NewWeighedCache[versionKey](maxCached, maxCachedBytes, func(v storedVersion) int { return v.def.Weight() })
	return &definitions{db: db, egress: client, parsed: parsed}
}

// version returns a version of a workflow, parsed; errNoVersion if there is none.
func (d *definitions) version(ctx context.Context, workflowID string, version int) (*language.Workflow, error) {
	stored, err := d.stored(ctx, workflowID, version)
	return stored.def, err
}

// author returns the authority with which a version of a workflow was stored.
func (d *definitions) author(ctx context.Context, workflowID string, version int) (mesh.Authority, error) {
	stored, err := d.stored(ctx, workflowID, version)
	return stored.author, err
}

func (d *definitions) stored(ctx context.Context, workflowID string, version int) (storedVersion, error) {
	key := versionKey{workflowID, version}
	if stored, ok := d.parsed.Get(key); ok {
		return stored, nil
	}
	row, err := findVersion(ctx, d.db.DB, workflowID, version)
	if err != nil {
		return storedVersion{}, err
	}
	var w *language.Workflow
	var faults language.Faults
	err = compute.Default.DoLarge(ctx, workflowID, len(row.Definition), func() { w, faults = language.Parse([]byte(row.Definition)) })
	if err != nil {
		return storedVersion{}, err
	}
	if len(faults) > 0 {
		return storedVersion{}, fmt.Errorf("parsing version %d of workflow %s: %w", version, workflowID, faults)
	}
	functions, err := row.functions()
	if err != nil {
		return storedVersion{}, err
	}
	stored := storedVersion{def: w, author: row.Author, functions: functions}
	d.parsed.Add(key, stored)
	return stored, nil
}

// plan returns a version of a workflow and its schedule. It fails if the version has none.
func (d *definitions) plan(ctx context.Context, workflowID string, version int) (*language.Workflow, *schedule.Plan, error) {
	def, err := d.version(ctx, workflowID, version)
	if err != nil {
		return nil, nil, err
	}
	plan, faults := schedule.FromWorkflow(def)
	if plan == nil {
		return nil, nil, fmt.Errorf("version %d of workflow %s has no valid schedule: %v", version, workflowID, faults)
	}
	return def, plan, nil
}

// fetch reads a document that a definition refers to. Its error is a *machine.Error, which the author reads.
func (d *definitions) fetch(ctx context.Context, uri string) ([]byte, error) {
	response, err := d.egress.Do(ctx, egress.Request{
		Method: http.MethodGet, URL: uri, Timeout: definition.FetchTimeout, MaxBody: definition.MaxFetched,
	})
	if err != nil {
		return nil, engine.FaultOf(err)
	}
	if response.Status != http.StatusOK {
		return nil, machine.NewError(machine.TypeCommunication, fmt.Sprintf("the response has status %d", response.Status))
	}
	return response.Body, nil
}

// workflowCache reads the rows of workflows, which name the current versions.
type workflowCache struct {
	db   *database.DB
	rows *database.RowCache[workflowRow]
}

func newWorkflowCache(db *database.DB) *workflowCache {
	return &workflowCache{db: db, rows: database.NewRowCache[workflowRow](db, "workflows", maxCached)}
}

// find returns one of a user's workflows; errNoWorkflow if there is none.
func (c *workflowCache) find(ctx context.Context, userID, id string) (workflowRow, error) {
	row, err := c.rows.Get(ctx, id, func(ctx context.Context) (workflowRow, error) { return workflowByID(ctx, c.db.DB, id) })
	return row.ownedBy(userID, err)
}

// forEdge returns the current versions of workflows for an edge node.
func (d *definitions) forEdge(ctx context.Context, ids []string) ([]subjects.EdgeWorkflow, error) {
	rows, err := currentVersions(ctx, d.db.DB, ids)
	if err != nil {
		return nil, err
	}
	workflows := make([]subjects.EdgeWorkflow, 0, len(rows))
	for _, row := range rows {
		workflows = append(workflows, subjects.EdgeWorkflow{
			WorkflowID: row.WorkflowID, UserID: row.UserID, Version: row.Version, Definition: json.RawMessage(row.Definition),
			Keys: row.Author.Keys, Scopes: row.Author.Scopes,
		})
	}
	return workflows, nil
}
