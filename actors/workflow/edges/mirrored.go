package edges

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// maxWatchedUsers bounds the users whose consents are watched. With more, those of the users that were needed longest ago are dropped.
const maxWatchedUsers = 10_000

// mirrored watches what edge nodes mirror of the buckets. The watches begin with the first edge node.
type mirrored struct {
	conn *mesh.Conn

	mu       sync.Mutex
	keys     *kv.Map[subjects.SigningKey]
	revoked  *kv.Map[subjects.RevokedSession]
	blocked  *kv.Map[subjects.BlockedAccount]
	consents *kv.Bucket[subjects.ConsentState]
	users    map[string]*watchedUser
	clock    uint64
	// shared are the sections that all edge nodes have in common, as they were at a revision of the bucket.
	shared map[string]sharedSection
}

// section is what an edge node mirrors of one kind. items are in the order of their keys, and revision identifies them.
type section struct {
	revision string
	items    []subjects.EdgeItem
}

type sharedSection struct {
	section
	at uint64
}

func newSection(items []subjects.EdgeItem) section {
	slices.SortFunc(items, func(a, b subjects.EdgeItem) int { return strings.Compare(a.Key, b.Key) })
	sum := sha256.New()
	for _, item := range items {
		_, _ = fmt.Fprintf(sum, "%d %s %d ", len(item.Key), item.Key, len(item.Value))
		sum.Write(item.Value)
	}
	return section{hex.EncodeToString(sum.Sum(nil)[:12]), items}
}

// watchedUser has the consents of a user. used orders the users by need.
type watchedUser struct {
	states *kv.Map[subjects.ConsentState]
	used   uint64
}

// open begins the watches of the buckets, once.
func (m *mirrored) open(ctx context.Context) (err error) {
	if m.users != nil {
		return nil
	}
	if m.keys == nil {
		if m.keys, err = watch[subjects.SigningKey](ctx, m.conn, kv.AuthKeys); err != nil {
			return err
		}
	}
	if m.revoked == nil {
		if m.revoked, err = watch[subjects.RevokedSession](ctx, m.conn, kv.AuthRevoked); err != nil {
			return err
		}
	}
	if m.blocked == nil {
		if m.blocked, err = watch[subjects.BlockedAccount](ctx, m.conn, kv.AuthBlocked); err != nil {
			return err
		}
	}
	if m.consents, err = kv.Open[subjects.ConsentState](ctx, m.conn.JS, kv.ConsentState); err != nil {
		return fmt.Errorf("opening the bucket of consent states: %w", err)
	}
	m.users, m.shared = map[string]*watchedUser{}, map[string]sharedSection{}
	return nil
}

func watch[T any](ctx context.Context, conn *mesh.Conn, spec kv.Spec) (*kv.Map[T], error) {
	bucket, err := kv.Open[T](ctx, conn.JS, spec)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket %s: %w", spec.Name, err)
	}
	all, err := kv.Watch(ctx, bucket, ">")
	if err != nil {
		return nil, fmt.Errorf("watching the bucket %s: %w", spec.Name, err)
	}
	return all, nil
}

// user returns the watched consents of a user.
func (m *mirrored) user(ctx context.Context, id string) (*kv.Map[subjects.ConsentState], error) {
	m.clock++
	if known := m.users[id]; known != nil {
		known.used = m.clock
		return known.states, nil
	}
	states, err := kv.Watch(ctx, m.consents, kv.EncodeKey(id)+".>")
	if err != nil {
		return nil, fmt.Errorf("watching the consents of a user: %w", err)
	}
	if len(m.users) >= maxWatchedUsers {
		oldest := ""
		for other, watched := range m.users {
			if oldest == "" || watched.used < m.users[oldest].used {
				oldest = other
			}
		}
		m.users[oldest].states.Close()
		delete(m.users, oldest)
	}
	m.users[id] = &watchedUser{states, m.clock}
	return states, nil
}

// section returns a section for an edge node.
func (h *Hub) section(ctx context.Context, name string, e subjects.Enrolment) (s section, err error) {
	if name == subjects.EdgeWorkflows {
		var items []subjects.EdgeItem
		items, err = h.definitions(ctx, e)
		s = newSection(items)
	} else {
		s, err = h.mirrored.section(ctx, name, e)
	}
	if err != nil {
		return section{}, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "what edge nodes mirror cannot be read at present", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	return s, nil
}

// definitions returns the workflows of an edge node that belong to its users.
func (h *Hub) definitions(ctx context.Context, e subjects.Enrolment) (items []subjects.EdgeItem, err error) {
	if len(e.Workflows) == 0 {
		return nil, nil
	}
	workflows, err := h.workflows(ctx, e.Workflows)
	if err != nil {
		return nil, err
	}
	for _, w := range workflows {
		if !slices.Contains(e.Users, w.UserID) {
			continue
		}
		if items, err = addItem(items, w.WorkflowID, w); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// section returns the entries of a bucket that an edge node mirrors. The buckets must be up to date.
func (m *mirrored) section(ctx context.Context, name string, e subjects.Enrolment) (section, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(ctx); err != nil {
		return section{}, err
	}
	switch name {
	case subjects.EdgeKeys:
		return inCommon(m, name, m.keys)
	case subjects.EdgeRevoked:
		return inCommon(m, name, m.revoked)
	}
	items, err := m.items(ctx, name, e)
	return newSection(items), err
}

// inCommon returns a section that is the same for all edge nodes, which contact the hub every few seconds: it is encoded anew only after a
// change of the bucket. An entry that has expired stays until then. The caller holds mu.
func inCommon[T any](m *mirrored, name string, from *kv.Map[T]) (section, error) {
	at := from.Revision() // before the entries, which may be newer
	if known, ok := m.shared[name]; ok && known.at == at && from.Fresh() {
		return known.section, nil
	}
	items, err := collect(from, nil)
	if err != nil {
		return section{}, err
	}
	s := newSection(items)
	m.shared[name] = sharedSection{s, at}
	return s, nil
}

// items returns the entries of a bucket that concern the users of an edge node. The caller holds mu.
func (m *mirrored) items(ctx context.Context, name string, e subjects.Enrolment) (items []subjects.EdgeItem, err error) {
	switch name {
	case subjects.EdgeBlocked:
		return collect(m.blocked, func(key string) bool {
			return slices.ContainsFunc(e.Users, func(user string) bool { return kv.EncodeKey(user) == key })
		})
	case subjects.EdgeConsents:
		for _, user := range e.Users {
			states, err := m.user(ctx, user)
			if err != nil {
				return nil, err
			}
			own, err := collect(states, nil)
			if err != nil {
				return nil, err
			}
			items = append(items, own...)
		}
		return items, nil
	}
	return nil, fmt.Errorf("there is no section %q", name)
}

// collect returns the entries of a watched bucket whose keys pass a filter.
func collect[T any](from *kv.Map[T], keep func(key string) bool) (items []subjects.EdgeItem, err error) {
	if !from.Fresh() {
		return nil, kv.ErrUnavailable
	}
	from.Range(func(entry kv.Entry[T]) bool {
		if keep != nil && !keep(entry.Key) {
			return true
		}
		var failed error
		items, failed = addItem(items, entry.Key, entry.Value)
		err = cmp.Or(err, failed)
		return failed == nil
	})
	return items, err
}

func addItem(items []subjects.EdgeItem, key string, value any) ([]subjects.EdgeItem, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return items, fmt.Errorf("encoding %s: %w", key, err)
	}
	return append(items, subjects.EdgeItem{Key: key, Value: data}), nil
}
