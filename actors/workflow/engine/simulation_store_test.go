package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// memoryStore is the database: rows, histories, limits, and the owner and position of each projection. Each method of it is one
// transaction.
type memoryStore struct {
	w          *world
	mu         sync.Mutex
	rows       map[string]Row
	histories  map[string]map[int64]string
	limits     map[string]LimitRow
	partitions map[int]partitionRow
	// approvals are the calls with an open approval request, by execution.
	approvals map[string]map[string]bool
}

func newMemoryStore(w *world) *memoryStore {
	return &memoryStore{
		w: w, rows: map[string]Row{}, histories: map[string]map[int64]string{}, limits: map[string]LimitRow{}, partitions: map[int]partitionRow{},
		approvals: map[string]map[string]bool{},
	}
}

func (s *memoryStore) position(number int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partitions[number].Projected
}

func (s *memoryStore) row(id string) (Row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[id]
	return row, ok
}

// where returns copies of the rows that a condition holds for, ordered as live reads them.
func (s *memoryStore) where(condition func(Row) bool) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Row
	for _, row := range s.rows {
		if condition(row) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return rows
}

func (s *memoryStore) events(id string) ([]json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	runs := s.histories[id]
	var events []json.RawMessage
	for _, first := range slices.Sorted(maps.Keys(runs)) {
		if int(first) != len(events)+1 {
			return nil, fmt.Errorf("the history of %s has a run from %d on after %d events", id, first, len(events))
		}
		var run []json.RawMessage
		if err := json.Unmarshal([]byte(runs[first]), &run); err != nil {
			return nil, err
		}
		events = append(events, run...)
	}
	return events, nil
}

func (s *memoryStore) pendingCalls(executions []string) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := map[string][]string{}
	for _, id := range executions {
		for call := range s.approvals[id] {
			pending[id] = append(pending[id], call)
		}
	}
	return pending
}

// openApprovals are the executions' calls that have an open approval request.
func (s *memoryStore) openApprovals() (all [][2]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, calls := range s.approvals {
		for call := range calls {
			all = append(all, [2]string{id, call})
		}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return all
}

func (s *memoryStore) requestApproval(id, call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.approvals[id] == nil {
		s.approvals[id] = map[string]bool{}
	}
	s.approvals[id][call] = true
}

func (s *memoryStore) closeApprovals(id string, calls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range calls {
		delete(s.approvals[id], call)
	}
}

func (s *memoryStore) claim(number int, owner string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.partitions[number]
	row.Owner = owner
	s.partitions[number] = row
	return row.Projected
}

func (s *memoryStore) isOwner(number int, owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partitions[number].Owner == owner
}

// commit is the transaction of a projection.
func (s *memoryStore) commit(batches ...projectionBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, batch := range batches {
		position := s.partitions[batch.number]
		if position.Owner != batch.owner && s.w.mutation != "no claim" || position.Projected > batch.sequence {
			return errFenced
		}
	}
	for _, batch := range batches {
		s.write(batch)
	}
	return nil
}

// write writes a batch. The caller holds the lock.
func (s *memoryStore) write(batch projectionBatch) {
	fresh, known, histories, limits := batch.rows()
	for _, row := range fresh {
		if _, exists := s.rows[row.ID]; exists {
			s.w.violatef("execution %s is inserted twice", row.ID)
		}
	}
	for _, row := range slices.Concat(fresh, known) {
		s.upsert(*row)
	}
	for _, h := range histories {
		s.addRun(h.ExecutionID, h.First, string(h.Events))
	}
	for _, row := range limits {
		if old, exists := s.limits[row.ExecutionID]; exists {
			old.StartedAt, old.CountsUntil = row.StartedAt, row.CountsUntil
			row = old
		}
		s.limits[row.ExecutionID] = row
	}
	now := time.Now().UnixMicro()
	maps.DeleteFunc(s.limits, func(_ string, row LimitRow) bool { return row.Partition == batch.number && row.CountsUntil <= now })
	for i := range batch.executions {
		for _, call := range batch.executions[i].expired {
			delete(s.approvals[batch.executions[i].row.ID], call)
		}
	}
	position := s.partitions[batch.number]
	position.Projected = batch.sequence
	s.partitions[batch.number] = position
}

// upsert stores a row: the fixed columns of one that exists, and a first run of events that the projection does not have, stay.
func (s *memoryStore) upsert(row Row) {
	if row.History != "" {
		s.addRun(row.ID, 1, string(row.History))
	}
	row.History, row.Limits = "", nil
	old, exists := s.rows[row.ID]
	if exists {
		if old.Ended() && row.Status != old.Status {
			s.w.violatef("execution %s has ended as %s and becomes %s", row.ID, old.Status, row.Status)
		}
		row.Partition, row.CreatedAt, row.Input, row.ParentID, row.ParentCall = old.Partition, old.CreatedAt, old.Input, old.ParentID, old.ParentCall
	}
	s.rows[row.ID] = row
}

func (s *memoryStore) addRun(id string, first int64, events string) {
	if s.histories[id] == nil {
		s.histories[id] = map[int64]string{}
	}
	s.histories[id][first] = events
}

// processStore is the database as one process reaches it.
type processStore struct{ p *process }

// read starts a read: it waits, and may fail.
func (s processStore) read(ctx context.Context) error {
	if err := s.p.enter(); err != nil {
		return err
	}
	w := s.p.w
	r := w.random("select/" + s.p.name)
	time.Sleep(w.latency(r, 4*time.Millisecond))
	if w.faulty(r, w.profile.ReadFault) {
		return errNetwork
	}
	return ctx.Err()
}

func readRows[T any](ctx context.Context, s processStore, read func(m *memoryStore) T) (T, error) {
	if err := s.read(ctx); err != nil {
		var none T
		return none, err
	}
	rows := read(s.p.w.store)
	time.Sleep(s.p.w.latency(s.p.w.random("rows/"+s.p.name), 4*time.Millisecond))
	if err := s.p.enter(); err != nil {
		return rows, err
	}
	return rows, nil
}

func (s processStore) detached(ctx context.Context) context.Context { return ctx }

func (s processStore) execution(ctx context.Context, id string) (Row, error) {
	if err := s.read(ctx); err != nil {
		return Row{}, err
	}
	row, ok := s.p.w.store.row(id)
	time.Sleep(s.p.w.latency(s.p.w.random("rows/"+s.p.name), 4*time.Millisecond))
	if !ok {
		return Row{}, ErrNoExecution
	}
	return row, s.p.enter()
}

func (s processStore) exists(ctx context.Context, id string) (bool, error) {
	return readRows(ctx, s, func(m *memoryStore) bool {
		_, ok := m.row(id)
		return ok
	})
}

// history does not wait, because a retry reads it under a partition's lock.
func (s processStore) history(_ context.Context, id string) ([]json.RawMessage, error) {
	if s.p.isDead() {
		return nil, errDead
	}
	if w := s.p.w; w.faulty(w.random("history/"+s.p.name), w.profile.ReadFault) {
		return nil, errNetwork
	}
	return s.p.w.store.events(id)
}

func (s processStore) claim(ctx context.Context, number int, owner string) (uint64, error) {
	if err := s.read(ctx); err != nil {
		return 0, err
	}
	w := s.p.w
	projected := w.store.claim(number, owner)
	if w.faulty(w.random("claim/"+s.p.name), w.profile.StoreFault) {
		return 0, errNetwork
	}
	return projected, s.p.enter()
}

func (s processStore) project(ctx context.Context, batches ...projectionBatch) error {
	if err := s.p.enter(); err != nil {
		return err
	}
	w := s.p.w
	r := w.random("project/" + s.p.name)
	time.Sleep(w.latency(r, 10*time.Millisecond))
	fault := w.faulty(r, w.profile.StoreFault)
	if fault && r.IntN(2) == 0 || ctx.Err() != nil {
		return errNetwork // rolled back
	}
	if s.p.isDead() {
		return errDead
	}
	var err error
	for _, batch := range batches {
		err = cmp.Or(err, refusedBy(batch))
	}
	if err == nil {
		err = w.store.commit(batches...)
	}
	if fault {
		return errNetwork // committed, but the acknowledgement is lost
	}
	if entered := s.p.enter(); entered != nil {
		return entered
	}
	return err
}

func (s processStore) try(_ context.Context, batch projectionBatch) error { return refusedBy(batch) }

func (s processStore) openCount(ctx context.Context, userID string) (int, error) {
	return readRows(ctx, s, func(m *memoryStore) int {
		return len(m.where(func(row Row) bool { return row.UserID == userID && row.EndedAt == 0 }))
	})
}

func (s processStore) live(ctx context.Context, number int) ([]Row, error) {
	return readRows(ctx, s, func(m *memoryStore) []Row {
		return m.where(func(row Row) bool { return row.Partition == number && row.EndedAt == 0 && !row.Evicted })
	})
}

func (s processStore) due(ctx context.Context, number int, until time.Time) ([]dueRow, error) {
	return readRows(ctx, s, func(m *memoryStore) (due []dueRow) {
		for _, row := range m.where(func(row Row) bool {
			return row.Partition == number && row.EndedAt == 0 && row.Evicted && row.DueAt > 0 && row.DueAt <= until.UnixMicro()
		}) {
			due = append(due, dueRow{row.ID, row.DueAt})
		}
		return due
	})
}

func idsOf(rows []Row) (ids []string) {
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

func (s processStore) listening(ctx context.Context, number int, userID string) ([]string, error) {
	return readRows(ctx, s, func(m *memoryStore) []string {
		return idsOf(m.where(func(row Row) bool {
			return row.Partition == number && row.UserID == userID && row.EndedAt == 0 && row.Evicted && row.Listens
		}))
	})
}

func (s processStore) open(ctx context.Context, number int, userID string) ([]string, error) {
	return readRows(ctx, s, func(m *memoryStore) []string {
		return idsOf(m.where(func(row Row) bool { return row.Partition == number && row.UserID == userID && row.EndedAt == 0 }))
	})
}

func (s processStore) orphans(ctx context.Context, number int) ([]string, error) {
	return readRows(ctx, s, func(m *memoryStore) []string {
		ended := map[string]bool{}
		for _, row := range m.where(func(row Row) bool { return row.Partition == number && row.EndedAt > 0 }) {
			ended[row.ID] = true
		}
		return idsOf(m.where(func(row Row) bool { return row.EndedAt == 0 && ended[row.ParentID] }))
	})
}

func (s processStore) liveChildren(ctx context.Context, parents []string) ([]Row, error) {
	return readRows(ctx, s, func(m *memoryStore) []Row {
		return m.where(func(row Row) bool {
			return row.EndedAt == 0 && row.ParentID != "" && slices.Contains(parents, row.ParentID)
		})
	})
}

func (s processStore) uncompletedParents(ctx context.Context, number int) ([]Row, error) {
	return readRows(ctx, s, func(m *memoryStore) []Row {
		running := map[string]bool{}
		for _, row := range m.where(func(row Row) bool { return row.EndedAt == 0 }) {
			running[row.ID] = true
		}
		return m.where(func(row Row) bool { return row.Partition == number && row.EndedAt > 0 && running[row.ParentID] })
	})
}

func (s processStore) limits(ctx context.Context, number int) ([]LimitRow, error) {
	return readRows(ctx, s, func(m *memoryStore) (rows []LimitRow) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, row := range m.limits {
			if row.Partition == number && row.CountsUntil > time.Now().UnixMicro() {
				rows = append(rows, row)
			}
		}
		return rows
	})
}

// refusedBy is the error of a store that refuses a batch: one of its rows has an input that names it.
func refusedBy(batch projectionBatch) error {
	for i := range batch.executions {
		if strings.Contains(string(batch.executions[i].row.Input), refusedInput) {
			return errRefused
		}
	}
	return nil
}

// refusedInput is part of the inputs that the store refuses.
const refusedInput = "store-refuses-this"

// corrupt changes a row behind the engine.
func (s *memoryStore) corrupt(id string, change func(row *Row)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.rows[id]
	change(&row)
	s.rows[id] = row
}

// corruptHistory makes an execution's history one that cannot be applied.
func (s *memoryStore) corruptHistory(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for first, run := range s.histories[id] {
		s.histories[id][first] = strings.ReplaceAll(run, `"version":1`, `"version":99`)
	}
}
