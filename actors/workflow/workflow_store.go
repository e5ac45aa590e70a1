package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// workflowRow is one workflow; Version is its current version.
type workflowRow struct {
	bun.BaseModel `bun:"table:workflows"`

	ID      string `bun:"id,pk"`
	UserID  string `bun:"user_id"`
	Name    string `bun:"name"`
	Version int    `bun:"version"`
	// Bytes is the sum of size over all versions.
	Bytes     int64 `bun:"bytes"`
	CreatedAt int64 `bun:"created_at"`
	DeletedAt int64 `bun:"deleted_at"`
}

// versionRow is one version of a workflow; it is immutable.
type versionRow struct {
	bun.BaseModel `bun:"table:workflow_versions"`

	WorkflowID string `bun:"workflow_id,pk"`
	Version    int    `bun:"version,pk"`
	Namespace  string `bun:"namespace"`
	Name       string `bun:"name"`
	// Declared is document.version, which the author chose.
	Declared string `bun:"declared"`
	Title    string `bun:"title"`
	Summary  string `bun:"summary"`
	Digest   string `bun:"digest"`
	Tasks    int    `bun:"tasks"`
	// Definition is the resolved definition as canonical JSON.
	Definition string `bun:"definition"`
	// Lifecycle are the types of lifecycle events that the definition may receive, space-separated.
	Lifecycle string `bun:"lifecycle"`
	// Functions are the versions of extensions' functions that the definition was checked with: a JSON object, by name; empty if it calls
	// none. ExtensionEvents are the extensions whose events it may receive, space-separated, or "*".
	Functions       string `bun:"functions"`
	ExtensionEvents string `bun:"extension_events"`
	// Source is the text that the author sent; empty if that was JSON.
	Source string `bun:"source"`
	// Author restricts the executions that schedules, events and other executions start of this version.
	Author    mesh.Authority `bun:"embed:author_"`
	CreatedAt int64          `bun:"created_at"`
}

// summaryColumns are the columns that lists return: all but the definition and its source.
var summaryColumns = []string{
	"v.workflow_id", "v.version", "v.namespace", "v.name", "v.declared", "v.title", "v.summary", "v.digest", "v.tasks", "v.created_at",
}

func newVersion(id string, version int, w resolved, author mesh.Authority, now time.Time) versionRow {
	return versionRow{
		WorkflowID: id, Version: version, Namespace: w.Document.Namespace, Name: w.Document.Name, Declared: w.Document.Version,
		Title: machine.Storable(w.Document.Title), Summary: machine.Storable(w.Document.Summary), Digest: w.Digest, Tasks: w.Tasks(),
		Lifecycle: strings.Join(machine.LifecycleTypes(w.Workflow), " "), Functions: w.functions,
		ExtensionEvents: strings.Join(machine.EventNamespaces(w.Workflow, subjects.ExtensionEventPrefix), " "),
		Definition:      string(w.Canonical), Source: machine.Storable(w.source), Author: author, CreatedAt: now.UnixMicro(),
	}
}

// functions decodes Functions.
func (v versionRow) functions() (versions map[string]string, err error) {
	if v.Functions == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(v.Functions), &versions); err != nil {
		return nil, fmt.Errorf("decoding the functions of version %d of workflow %s: %w", v.Version, v.WorkflowID, err)
	}
	return versions, nil
}

// versionOverhead is what a version counts besides its texts, in bytes.
const versionOverhead = 1 << 10

// size is what the version counts against workflow.max_definition_bytes_per_user.
func (v versionRow) size() int64 {
	return int64(len(v.Definition) + len(v.Source) + len(v.Functions) + len(v.Title) + len(v.Summary) + versionOverhead)
}

// resource returns the version for its owner; createdAt is the workflow's.
func (v versionRow) resource(createdAt int64) subjects.Workflow {
	r := subjects.Workflow{
		ID: v.WorkflowID, Name: v.Name, Namespace: v.Namespace, Title: v.Title, Summary: v.Summary, Version: v.Version,
		Declared: v.Declared, Digest: v.Digest, Tasks: v.Tasks, Source: v.Source,
		CreatedAt: machine.Moment(createdAt), UpdatedAt: machine.Moment(v.CreatedAt),
	}
	if v.Definition != "" {
		r.Document = json.RawMessage(v.Definition)
	}
	return r
}

var errNoWorkflow = subjects.Errorf(subjects.CodeNotFound, "there is no such workflow")

// findWorkflow reads one of a user's workflows.
func findWorkflow(ctx context.Context, db bun.IDB, userID, id string) (workflowRow, error) {
	w, err := workflowByID(ctx, db, id)
	return w.ownedBy(userID, err)
}

// ownedBy returns a workflow that was read, or err; errNoWorkflow where it is another user's.
func (w workflowRow) ownedBy(userID string, err error) (workflowRow, error) {
	if err == nil && w.UserID != userID {
		return workflowRow{}, errNoWorkflow
	}
	return w, err
}

// workflowByID reads a workflow of any user.
func workflowByID(ctx context.Context, db bun.IDB, id string) (w workflowRow, err error) {
	err = db.NewSelect().Model(&w).Where("id = ?", id).Where("deleted_at = 0").Scan(ctx)
	return w, database.OneRow(err, "reading a workflow", errNoWorkflow)
}

var errNoVersion = subjects.Errorf(subjects.CodeNotFound, "the workflow has no such version")

// findVersion reads one version of a workflow.
func findVersion(ctx context.Context, db bun.IDB, workflowID string, version int) (v versionRow, err error) {
	err = db.NewSelect().Model(&v).Where("workflow_id = ?", workflowID).Where("version = ?", version).Scan(ctx)
	return v, database.OneRow(err, "reading a version of a workflow", errNoVersion)
}

// setCurrentVersion makes a version the current one. It reports whether the workflow was at the version before it.
func setCurrentVersion(ctx context.Context, tx database.Tx, id string, v versionRow) (bool, error) {
	result, err := tx.NewUpdate().Model((*workflowRow)(nil)).Set("version = ?", v.Version).Set("name = ?", v.Name).Set("bytes = bytes + ?", v.size()).
		Where("id = ?", id).Where("version = ?", v.Version-1).Where("deleted_at = 0").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("updating a workflow: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deleteWorkflow marks a workflow as deleted. Its versions remain, since executions may still run them. A version that is not 0 must be the
// workflow's current one, or the error is ErrPreconditionFailed.
func deleteWorkflow(ctx context.Context, tx database.Tx, id string, version int, now time.Time) error {
	q := tx.NewUpdate().Model((*workflowRow)(nil)).Set("deleted_at = ?", now.UnixMicro()).Where("id = ?", id)
	if version != 0 {
		q.Where("version = ?", version).Where("deleted_at = 0")
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting a workflow: %w", err)
	}
	if n, err := result.RowsAffected(); version != 0 && (err != nil || n == 0) {
		return errors.Join(err, subjects.ErrPreconditionFailed)
	}
	return nil
}

// listedVersion is a version and the time at which its workflow was created.
type listedVersion struct {
	versionRow `bun:",extend"`
	Created    int64 `bun:"created"`
}

// pageOfWorkflows reads the current versions of a user's workflows, newest workflow first, from after the given id. It reads
// one row more than the page holds.
func pageOfWorkflows(ctx context.Context, db bun.IDB, userID string, r subjects.ListWorkflowsRequest, after string) ([]listedVersion, error) {
	var rows []listedVersion
	q := db.NewSelect().ModelTableExpr("workflow_versions AS v").Model(&rows).Column(summaryColumns...).
		ColumnExpr("w.created_at AS created").
		Join("JOIN workflows AS w ON w.id = v.workflow_id AND w.version = v.version").
		Where("w.user_id = ?", userID).Where("w.deleted_at = 0").OrderExpr("w.id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("w.id < ?", after)
	}
	if r.Name != "" {
		q.Where("w.name = ?", r.Name)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing workflows: %w", err)
	}
	return rows, nil
}

// pageOfVersions reads up to limit versions of a workflow, newest first, below the given one; 0 starts at the newest.
func pageOfVersions(ctx context.Context, db bun.IDB, id string, limit, below int) ([]versionRow, error) {
	var rows []versionRow
	q := db.NewSelect().ModelTableExpr("workflow_versions AS v").Model(&rows).Column(summaryColumns...).
		Where("v.workflow_id = ?", id).OrderExpr("v.version DESC").Limit(int64(limit))
	if below > 0 {
		q.Where("v.version < ?", below)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing a workflow's versions: %w", err)
	}
	return rows, nil
}

// namedVersion is a version that a namespace, a name and a declared version name.
type namedVersion struct {
	WorkflowID string `bun:"workflow_id"`
	Version    int    `bun:"version"`
}

// maxNamed bounds the workflows that the error of an ambiguous name lists.
const maxNamed = 5

// findWorkflowByName finds a user's workflow by the namespace and name in its document, and the newest version with the
// declared version; "" and "latest" select the current version. If several workflows have that name and version, it is a conflict
// that names them: which of them is meant cannot be known.
func findWorkflowByName(ctx context.Context, db bun.IDB, userID, namespace, name, declared string) (id string, version int, err error) {
	var found []namedVersion
	q := db.NewSelect().TableExpr("workflow_versions AS v").Column("v.workflow_id").ColumnExpr("max(v.version) AS version").
		Join("JOIN workflows AS w ON w.id = v.workflow_id").Where("w.user_id = ?", userID).Where("w.deleted_at = 0").
		Where("v.namespace = ?", namespace).Where("v.name = ?", name).GroupExpr("v.workflow_id").OrderExpr("v.workflow_id DESC").
		Limit(maxNamed + 1)
	if declared == "" || declared == "latest" {
		q.Where("v.version = w.version")
	} else {
		q.Where("v.declared = ?", declared)
	}
	if err := q.Scan(ctx, &found); err != nil {
		return "", 0, fmt.Errorf("reading a workflow by name: %w", err)
	}
	switch {
	case len(found) == 0:
		return "", 0, subjects.Errorf(subjects.CodeNotFound, "there is no workflow %s.%s:%s", namespace, name, declared)
	case len(found) > 1:
		return "", 0, errAmbiguous(namespace+"."+name+":"+declared, found)
	}
	return found[0].WorkflowID, found[0].Version, nil
}

func errAmbiguous(name string, found []namedVersion) error {
	ids := make([]string, 0, maxNamed)
	for _, version := range found[:min(len(found), maxNamed)] {
		ids = append(ids, version.WorkflowID)
	}
	count, more := strconv.Itoa(len(found)), ""
	if len(found) > maxNamed {
		count, more = "more than "+strconv.Itoa(maxNamed), " and others"
	}
	return subjects.Errorf(subjects.CodeConflict, "%s workflows are named %s: %s%s; start one by workflow_id, or rename or delete the others",
		count, name, strings.Join(ids, ", "), more)
}

// lifecycleListeners returns those of some users who have a version of a workflow that receives lifecycle events.
func lifecycleListeners(ctx context.Context, tx database.Tx, users []string) (listening []string, err error) {
	err = tx.NewSelect().TableExpr("workflow_versions AS v").ColumnExpr("DISTINCT w.user_id").
		Join("JOIN workflows AS w ON w.id = v.workflow_id").Where("v.lifecycle <> ''").Where("w.user_id IN (?)", bun.List(users)).
		Scan(ctx, &listening)
	if err != nil {
		return nil, fmt.Errorf("looking for workflows that receive lifecycle events: %w", err)
	}
	return listening, nil
}

// lifecycleTypesOf returns the types of lifecycle events that a user's workflows may receive.
func lifecycleTypesOf(ctx context.Context, db bun.IDB, userID string) (types []string, err error) {
	var lists []string
	err = db.NewSelect().TableExpr("workflow_versions AS v").ColumnExpr("DISTINCT v.lifecycle").
		Join("JOIN workflows AS w ON w.id = v.workflow_id").Where("v.lifecycle <> ''").Where("w.user_id = ?", userID).Scan(ctx, &lists)
	if err != nil {
		return nil, fmt.Errorf("reading which lifecycle events a user receives: %w", err)
	}
	for _, list := range lists {
		types = append(types, strings.Fields(list)...)
	}
	return types, nil
}

// removableWorkflows returns the ids of workflows that were deleted before a time and of which no execution is under way.
func removableWorkflows(ctx context.Context, db bun.IDB, before time.Time, limit int) (ids []string, err error) {
	err = db.NewSelect().TableExpr("workflows AS w").Column("w.id").Where("w.deleted_at > 0").Where("w.deleted_at < ?", before.UnixMicro()).
		Where("NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.workflow_id = w.id AND e.ended_at = 0)").
		OrderExpr("w.deleted_at").Limit(int64(limit)).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("looking for deleted workflows: %w", err)
	}
	return ids, nil
}

// removeWorkflows deletes the rows of deleted workflows and of their versions.
func removeWorkflows(ctx context.Context, tx database.Tx, ids []string) error {
	if _, err := tx.NewDelete().Model((*versionRow)(nil)).Where("workflow_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting the versions of workflows: %w", err)
	}
	if _, err := tx.NewDelete().Model((*workflowRow)(nil)).Where("id IN (?)", bun.List(ids)).Where("deleted_at > 0").Exec(ctx); err != nil {
		return fmt.Errorf("deleting workflows: %w", err)
	}
	return nil
}

// ownedVersion is a version of a workflow with the workflow's owner.
type ownedVersion struct {
	versionRow `bun:",extend"`
	UserID     string `bun:"user_id"`
}

// currentVersions reads the current versions of workflows by their ids, without those that are deleted.
func currentVersions(ctx context.Context, db bun.IDB, ids []string) (rows []ownedVersion, err error) {
	err = db.NewSelect().ModelTableExpr("workflow_versions AS v").Model(&rows).
		Column("v.workflow_id", "v.version", "v.definition", "v.author_keys", "v.author_scopes", "w.user_id").
		Join("JOIN workflows AS w ON w.id = v.workflow_id AND w.version = v.version").
		Where("w.id IN (?)", bun.List(ids)).Where("w.deleted_at = 0").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading workflows: %w", err)
	}
	return rows, nil
}
