package edge

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// barrierWithin bounds the wait for the edge's own processes to know of a change.
const barrierWithin = 10 * time.Second

// mirror writes what the hub knows to the edge's own buckets, in the names of auth and consent, and remembers it.
type mirror struct {
	auth, consent *mesh.Conn

	mu        sync.Mutex
	enrolment subjects.Enrolment
	sections  map[string]Section
	workflows []subjects.EdgeWorkflow
	known     bool
	changed   chan struct{}
}

func newMirror(auth, consent *mesh.Conn, from State) *mirror {
	sections := maps.Clone(from.Sections)
	if sections == nil {
		sections = map[string]Section{}
	}
	return &mirror{auth: auth, consent: consent, enrolment: from.Enrolment, sections: sections, changed: make(chan struct{})}
}

// restore writes what is remembered to the buckets, after a start.
func (m *mirror) restore(ctx context.Context) error {
	for _, name := range subjects.EdgeSections() {
		section, ok := m.section(name)
		if !ok {
			continue
		}
		if err := m.apply(ctx, name, section); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirror) section(name string) (Section, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	section, ok := m.sections[name]
	return section, ok
}

// enrol replaces what the edge is enrolled for.
func (m *mirror) enrol(e subjects.Enrolment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enrolment = e
}

// permits reports whether the edge is enrolled for a user.
func (m *mirror) permits(userID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.enrolment.Users, userID)
}

// apply makes a section known to the edge's processes, and then remembers it.
func (m *mirror) apply(ctx context.Context, name string, section Section) (err error) {
	switch name {
	case subjects.EdgeKeys:
		_, _, err = replace(ctx, m.auth, kv.AuthKeys, section.Items)
	case subjects.EdgeRevoked:
		err = m.applyRevoked(ctx, section)
	case subjects.EdgeBlocked:
		err = m.applyBlocked(ctx, section)
	case subjects.EdgeConsents:
		err = m.applyConsents(ctx, section)
	case subjects.EdgeWorkflows:
		err = m.applyWorkflows(section)
	}
	if err != nil {
		return fmt.Errorf("mirroring %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sections[name] = section
	return nil
}

func (m *mirror) applyRevoked(ctx context.Context, section Section) error {
	changed, revision, err := replace(ctx, m.auth, kv.AuthRevoked, section.Items)
	if err != nil || len(changed) == 0 {
		return err
	}
	return raise(ctx, m.auth, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: revision})
}

func (m *mirror) applyBlocked(ctx context.Context, section Section) error {
	changed, revision, err := replace(ctx, m.auth, kv.AuthBlocked, section.Items)
	if err != nil {
		return err
	}
	for _, key := range changed {
		parts, err := kv.DecodeKey(key)
		if err != nil {
			return err
		}
		if err := raise(ctx, m.auth, mesh.Barrier{Kind: mesh.BarrierAccount, UserID: parts[0], Revision: revision}); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirror) applyConsents(ctx context.Context, section Section) error {
	changed, _, err := replace(ctx, m.consent, kv.ConsentState, section.Items)
	if err != nil {
		return err
	}
	for _, key := range changed {
		parts, err := kv.DecodeKey(key)
		if err != nil || len(parts) != 2 {
			return fmt.Errorf("the key %q of a consent is invalid: %w", key, err)
		}
		if err := raise(ctx, m.consent, mesh.Barrier{Kind: mesh.BarrierConsent, UserID: parts[0], Scope: parts[1]}); err != nil {
			return err
		}
	}
	return nil
}

func raise(ctx context.Context, conn *mesh.Conn, b mesh.Barrier) error {
	ctx, cancel := context.WithTimeout(ctx, barrierWithin)
	defer cancel()
	return mesh.RaiseBarrier(ctx, conn, b)
}

func (m *mirror) applyWorkflows(section Section) error {
	list := make([]subjects.EdgeWorkflow, 0, len(section.Items))
	for _, item := range section.Items {
		var w subjects.EdgeWorkflow
		if err := json.Unmarshal(item.Value, &w); err != nil {
			return fmt.Errorf("decoding the workflow %s: %w", item.Key, err)
		}
		list = append(list, w)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workflows, m.known = list, true
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// workflowsNow returns the mirrored workflows, whether they are known, and a channel that is closed when they may have changed.
func (m *mirror) workflowsNow() ([]subjects.EdgeWorkflow, bool, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workflows, m.known, m.changed
}

// state returns what is remembered, to be stored.
func (m *mirror) state(grant Grant) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return State{Grant: grant, Enrolment: m.enrolment, Sections: maps.Clone(m.sections)}
}

// replace makes a bucket hold the items and nothing else. It returns the keys that changed and the revision of the last change.
func replace(ctx context.Context, conn *mesh.Conn, spec kv.Spec, items []subjects.EdgeItem) (changed []string, revision uint64, err error) {
	bucket, err := kv.Open[json.RawMessage](ctx, conn.JS, spec)
	if err != nil {
		return nil, 0, err
	}
	keys, err := bucket.Keys(ctx, ">")
	if err != nil {
		return nil, 0, err
	}
	kept := make(map[string]bool, len(keys))
	for _, key := range keys {
		kept[key] = true
	}
	for _, item := range items {
		if kept[item.Key] {
			delete(kept, item.Key)
			entry, err := bucket.Get(ctx, item.Key)
			if err == nil && string(entry.Value) == string(item.Value) {
				continue
			}
		}
		if revision, err = bucket.Put(ctx, item.Key, item.Value); err != nil {
			return changed, revision, err
		}
		changed = append(changed, item.Key)
	}
	for key := range kept {
		if err := bucket.Delete(ctx, key); err != nil {
			return changed, 0, err
		}
		changed, revision = append(changed, key), 0 // the revision of a deletion is not known: members read all
	}
	return changed, revision, nil
}

// jwks returns the mirrored public keys as a JSON Web Key Set (RFC 7517 §5); false if they are not known.
func (m *mirror) jwks() (subjects.JSONWebKeySet, bool) {
	section, ok := m.section(subjects.EdgeKeys)
	set := subjects.JSONWebKeySet{Keys: []subjects.JSONWebKey{}}
	for _, item := range section.Items {
		var key subjects.SigningKey
		if json.Unmarshal(item.Value, &key) == nil && len(key.Public) == ed25519.PublicKeySize {
			set.Keys = append(set.Keys, key.JSONWebKey())
		}
	}
	return set, ok
}

// consentState returns the mirrored state of a user's consent to a scope.
func (m *mirror) consentState(userID, scope string) (state subjects.ConsentState, ok bool) {
	section, _ := m.section(subjects.EdgeConsents)
	key := kv.EncodeKey(userID, scope)
	i, found := slices.BinarySearchFunc(section.Items, key, func(item subjects.EdgeItem, key string) int { return strings.Compare(item.Key, key) })
	if !found || json.Unmarshal(section.Items[i].Value, &state) != nil {
		return state, false
	}
	return state, true
}
