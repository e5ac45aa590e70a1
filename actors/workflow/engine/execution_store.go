package engine

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/packed"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Packed is a text that SQL has compressed.
type Packed = packed.Text

// Row is one execution as SQL has it: the projection of its partition's log.
type Row struct {
	bun.BaseModel `bun:"table:executions,alias:execution"`

	ID     string `bun:"id,pk" json:"id"`
	UserID string `bun:"user_id" json:"user_id"`
	// ChosenID is the id that the caller chose, by which the user knows the execution; empty if the caller chose none. ID is then
	// derived from it and the user: users cannot meet in each other's ids, nor take those that schedules, events and calls derive.
	ChosenID   string `bun:"chosen_id" json:"chosen_id,omitempty"`
	WorkflowID string `bun:"workflow_id" json:"workflow_id"`
	Version    int    `bun:"version" json:"version"`
	Name       string `bun:"name" json:"name"`
	ConsentID  string `bun:"consent_id" json:"consent_id"`
	// Authority restricts its calls to what the API keys may do that caused it.
	Authority mesh.Authority `bun:"embed:authority_" json:"authority,omitzero"`
	Partition int            `bun:"partition" json:"-"`
	Status    string         `bun:"status" json:"-"`
	// Evicted executions are in SQL alone, with their machine's Snapshot. Listens: events may wake it.
	Evicted bool `bun:"evicted" json:"-"`
	Listens bool `bun:"listens" json:"-"`
	// Watched executions are published to the feed.
	Watched bool `bun:"watched" json:"-"`
	// DueAt is the next timer of an evicted execution; 0: none.
	DueAt int64 `bun:"due_at" json:"-"`
	// Priority orders what waits for a slot, higher first.
	Priority int `bun:"priority" json:"priority,omitempty"`
	// Limits are the limits of its workflow that apply to it; SQL has them in a LimitRow while they count.
	Limits *definition.Limits `bun:"-" json:"limits,omitempty"`
	// Origin is what started it.
	Origin Origin `bun:"embed:origin_" json:"origin,omitzero"`
	// ParentID and ParentCall are the call of the execution that waits for this one.
	ParentID   string `bun:"parent_id" json:"parent_id,omitempty"`
	ParentCall string `bun:"parent_call" json:"parent_call,omitempty"`
	// Events is the number of events of its history.
	Events int64  `bun:"events" json:"-"`
	Input  Packed `bun:"input" json:"input"`
	Output Packed `bun:"output" json:"-"`
	Error  string `bun:"error" json:"-"`
	// ErrorType is the type of Error, to select by.
	ErrorType string `bun:"error_type" json:"-"`
	// Snapshot is the machine's state of an evicted execution.
	Snapshot Packed `bun:"snapshot" json:"-"`
	// History is the first run of its events, a JSON list, which only projections and ReadHistory use.
	History    Packed `bun:"history" json:"-"`
	Attributes string `bun:"attributes" json:"attributes,omitempty"`
	// Trace is the W3C traceparent of the request or event that started it: its calls belong to that trace.
	Trace     string `bun:"trace" json:"trace,omitempty"`
	CreatedAt int64  `bun:"created_at" json:"created_at"`
	StartedAt int64  `bun:"started_at" json:"-"`
	EndedAt   int64  `bun:"ended_at" json:"-"`
}

// HistoryRow is a run of an execution's events, from the event numbered First on: a JSON list. The first run of most is in the
// execution's row.
type HistoryRow struct {
	bun.BaseModel `bun:"table:execution_histories"`

	ExecutionID string `bun:"execution_id,pk"`
	First       int64  `bun:"first,pk"`
	Events      Packed `bun:"events"`
}

// Grant is the consent that the execution acts under.
func (e Row) Grant() mesh.Grant {
	return mesh.Grant{UserID: e.UserID, Scope: subjects.ScopeWorkflowsExecute, ConsentID: e.ConsentID}
}

// Ended reports whether the execution has ended.
func (e Row) Ended() bool { return machine.Status(e.Status).Ended() }

// PublicID is the id by which the user knows the execution.
func (e Row) PublicID() string { return cmp.Or(e.ChosenID, e.ID) }

// ChosenID is the id of the execution that a user names by an id of the user's choice.
func ChosenID(userID, chosen string) string { return DerivedID("user/" + userID + "/" + chosen) }

// Resource is the execution as lists show it.
func (e Row) Resource() subjects.Execution {
	r := subjects.Execution{
		ID: e.PublicID(), WorkflowID: e.WorkflowID, Version: e.Version, Name: e.Name, Status: e.Status, CreatedAt: machine.Moment(e.CreatedAt),
		StartedAt: OptionalMoment(e.StartedAt), EndedAt: OptionalMoment(e.EndedAt), Attributes: definition.AttributesFrom(e.Attributes),
	}
	if e.Error != "" {
		r.Error = &subjects.ExecutionProblem{}
		if json.Unmarshal([]byte(e.Error), r.Error) != nil {
			r.Error = nil
		}
	}
	return r
}

// OptionalMoment is a time in microseconds since the epoch; nil for 0.
func OptionalMoment(micro int64) *time.Time {
	if micro == 0 {
		return nil
	}
	at := machine.Moment(micro)
	return &at
}

// ErrNoExecution says that no execution has the id.
var ErrNoExecution = subjects.Errorf(subjects.CodeNotFound, "execution not found")

func readExecution(ctx context.Context, db bun.IDB, id string) (Row, error) {
	var e Row
	err := db.NewSelect().Model(&e).ExcludeColumn("history").Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrNoExecution
	}
	if err != nil {
		return e, fmt.Errorf("reading an execution: %w", err)
	}
	return e, nil
}

// executionExists reports whether an execution has an id.
func executionExists(ctx context.Context, db bun.IDB, id string) (bool, error) {
	found, err := db.NewSelect().Model((*Row)(nil)).Where("id = ?", id).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for an execution: %w", err)
	}
	return found, nil
}

// rowsPerStatement bounds the rows that a statement names by their ids.
const rowsPerStatement = 100

// maxVisited bounds the executions that a page is selected from where no index has the selection.
const maxVisited = 5000

// executionQuery selects a user's executions, newest first, after the given creation and id.
type executionQuery struct {
	subjects.ListExecutionsRequest

	userID     string
	attributes map[string]string
	after      int64
	afterID    string
}

// PageOfExecutions reads a page of a user's executions, newest first, after the given creation and id, and one more. If it has looked at as many
// as it may and found fewer, last is the last that it has looked at, and the next page begins there.
func PageOfExecutions(
	ctx context.Context, db bun.IDB, userID string, r subjects.ListExecutionsRequest, attributes map[string]string, after int64, afterID string,
) (rows []Row, last *Row, err error) {
	e := executionQuery{ListExecutionsRequest: r, userID: userID, attributes: attributes, after: after, afterID: afterID}
	q := e.inRange(db.NewSelect().Model(&rows).ExcludeColumn("input", "output", "snapshot", "history").Limit(int64(r.PageLimit() + 1)))
	if !e.indexed() {
		if last, err = e.lastVisited(ctx, db); err != nil {
			return nil, nil, err
		}
		if last != nil {
			q.Where("(created_at > ? OR (created_at = ? AND id >= ?))", last.CreatedAt, last.CreatedAt, last.ID)
		}
	}
	if err := e.selected(db, q).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("listing executions: %w", err)
	}
	if len(rows) > r.PageLimit() {
		last = nil
	}
	return rows, last, nil
}

// indexed reports whether an index has what is selected: all of a user or of a workflow, or those of a status that few have.
func (e executionQuery) indexed() bool {
	return len(e.attributes) == 0 && (e.Status == "" || e.WorkflowID == "" && e.Status != string(machine.Completed))
}

// lastVisited returns the last execution that a page may be selected from; nil if there are no more than maxVisited.
func (e executionQuery) lastVisited(ctx context.Context, db bun.IDB) (*Row, error) {
	var rows []Row
	err := e.inRange(db.NewSelect().Model(&rows).Column("created_at", "id").Limit(1).Offset(maxVisited - 1)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing executions: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return &rows[0], nil
}

// inRange adds the order, and the conditions that an index in that order has.
func (e executionQuery) inRange(q *bun.SelectQuery) *bun.SelectQuery {
	q.Order("created_at DESC", "id DESC")
	user := "user_id"
	if e.WorkflowID != "" {
		q.Where("workflow_id = ?", e.WorkflowID)
		if q.Dialect().Name() == dialect.SQLite { // has no statistics: it shall use executions_by_workflow, not executions_by_user
			user = "user_id || ''"
		}
	}
	q.Where(user+" = ?", e.userID)
	if e.afterID != "" {
		q.Where("created_at <= ?", e.after).Where("(created_at < ? OR id < ?)", e.after, e.afterID)
	}
	if e.Since != nil {
		q.Where("created_at >= ?", e.Since.UnixMicro())
	}
	if e.Until != nil {
		q.Where("created_at < ?", e.Until.UnixMicro())
	}
	return q
}

// selected adds the other conditions.
func (e executionQuery) selected(db bun.IDB, q *bun.SelectQuery) *bun.SelectQuery {
	if e.Status != "" {
		q.Where("status = ?", e.Status)
		if !machine.Status(e.Status).Ended() {
			q.Where("ended_at = 0") // executions_open has these
		}
	}
	for name, value := range e.attributes {
		if db.Dialect().Name() == dialect.SQLite {
			q.Where("json_extract(nullif(attributes, ''), ?) = ?", `$."`+name+`"`, value)
		} else {
			q.Where("nullif(attributes, '')::jsonb ->> ? = ?", name, value)
		}
	}
	return q
}

// liveExecutions reads the executions of a partition that are neither ended nor evicted.
func liveExecutions(ctx context.Context, db bun.IDB, number int) (rows []Row, err error) {
	err = db.NewSelect().Model(&rows).ExcludeColumn("history").Where("partition = ?", number).Where("ended_at = 0").Where("NOT evicted").
		Order("created_at", "id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading live executions: %w", err)
	}
	return rows, nil
}

// orphanedChildren reads the running executions whose parents, in a partition, have ended.
func orphanedChildren(ctx context.Context, db bun.IDB, number int) (ids []string, err error) {
	err = db.NewSelect().Model((*Row)(nil)).Column("id").Where("parent_id <> ''").Where("ended_at = 0").
		Where("EXISTS (SELECT 1 FROM executions AS p WHERE p.id = execution.parent_id AND p.partition = ? AND p.ended_at > 0)", number).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("looking for children whose parents have ended: %w", err)
	}
	return ids, nil
}

// liveChildren reads the running executions whose parents are among some.
func liveChildren(ctx context.Context, db bun.IDB, parents []string) (rows []Row, err error) {
	err = db.NewSelect().Model(&rows).Column("id", "parent_id", "parent_call").Where("parent_id <> ''").Where("ended_at = 0").
		Where("parent_id IN (?)", bun.List(parents)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading running children: %w", err)
	}
	return rows, nil
}

// uncompletedParents reads the ended executions of a partition whose parents are still running.
func uncompletedParents(ctx context.Context, db bun.IDB, number int) (rows []Row, err error) {
	err = db.NewSelect().Model(&rows).ExcludeColumn("snapshot", "input", "history").Where("partition = ?", number).Where("ended_at > 0").Where("parent_id <> ''").
		Where("EXISTS (SELECT 1 FROM executions AS p WHERE p.id = execution.parent_id AND p.ended_at = 0)").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading ended children: %w", err)
	}
	return rows, nil
}

// dueRow is when an evicted execution is to be loaded.
type dueRow struct {
	ID    string `bun:"id"`
	DueAt int64  `bun:"due_at"`
}

// dueExecutions reads the evicted executions of a partition with a timer up to a time.
func dueExecutions(ctx context.Context, db bun.IDB, number int, until time.Time) (rows []dueRow, err error) {
	err = db.NewSelect().Model((*Row)(nil)).Column("id", "due_at").Where("partition = ?", number).Where("ended_at = 0").
		Where("evicted").Where("due_at > 0").Where("due_at <= ?", until.UnixMicro()).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("reading timers: %w", err)
	}
	return rows, nil
}

// listeningExecutions reads a user's evicted executions of a partition that wait for events.
func listeningExecutions(ctx context.Context, db bun.IDB, number int, userID string) (ids []string, err error) {
	err = db.NewSelect().Model((*Row)(nil)).Column("id").Where("partition = ?", number).Where("user_id = ?", userID).
		Where("ended_at = 0").Where("evicted").Where("listens").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading listening executions: %w", err)
	}
	return ids, nil
}

// openExecutions reads a user's executions of a partition that have not ended.
func openExecutions(ctx context.Context, db bun.IDB, number int, userID string) (ids []string, err error) {
	err = db.NewSelect().Model((*Row)(nil)).Column("id").Where("partition = ?", number).Where("user_id = ?", userID).
		Where("ended_at = 0").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading a user's executions: %w", err)
	}
	return ids, nil
}

// countOpen counts a user's executions that have not ended.
func countOpen(ctx context.Context, db bun.IDB, userID string) (int, error) {
	count, err := db.NewSelect().Model((*Row)(nil)).Where("user_id = ?", userID).Where("ended_at = 0").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting a user's executions: %w", err)
	}
	return int(count), nil
}

// WatchedExecutions reads those of a user's executions that were published to the feed.
func WatchedExecutions(ctx context.Context, db bun.IDB, userID string) (ids []string, err error) {
	err = db.NewSelect().Model((*Row)(nil)).Column("id").Where("user_id = ?", userID).Where("watched").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading a user's watched executions: %w", err)
	}
	return ids, nil
}

// markWatched records that an execution which has ended is published to the feed.
func markWatched(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*Row)(nil)).Set("watched = ?", true).Where("id = ?", id).Where("ended_at > 0").Exec(ctx)
	if err != nil {
		return fmt.Errorf("marking an execution as watched: %w", err)
	}
	return nil
}
