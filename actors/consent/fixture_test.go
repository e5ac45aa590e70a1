package consent_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// fixture is a mesh with the consent actor on one database.
type fixture struct {
	mesh *actortest.Mesh
	// conn is the connection that calls are made with: the gateway's.
	conn   *mesh.Conn
	host   *actortest.Hosted
	db     database.Config
	config consent.Config
	keyset string
}

func setup(t *testing.T, database actortest.Database, options ...actortest.Option) *fixture {
	t.Helper()
	return setupWith(t, database, consent.DefaultConfig(), options...)
}

func setupWith(t *testing.T, database actortest.Database, config consent.Config, options ...actortest.Option) *fixture {
	t.Helper()
	m := actortest.Start(t, options...)
	f := &fixture{
		mesh: m, conn: m.Conn(t, "gateway"), db: database.Config(t, "consent"), config: config,
		keyset: filepath.Join(t.TempDir(), "keyset"),
	}
	f.start(t)
	return f
}

// start starts the actor on the fixture's database and keyset.
func (f *fixture) start(t *testing.T) {
	t.Helper()
	f.host = f.mesh.Host(t, "consent", f.db, consent.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := consent.New(d, f.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) { c.KeysetFile = f.keyset })
}

func (f *fixture) stop(t *testing.T) {
	t.Helper()
	if err := f.host.Stop(t); err != nil {
		t.Fatal(err)
	}
}

// user returns the credentials of a user.
func (f *fixture) user(t *testing.T, id string) mesh.As {
	t.Helper()
	return mesh.As{Token: f.mesh.Token(t, id)}
}

// join makes another process of the mesh, which revocations wait for.
func (f *fixture) join(t *testing.T) *mesh.Membership {
	t.Helper()
	membership, err := mesh.Join(t.Context(), f.mesh.Connect(t, "integration"), f.mesh.Log)
	if err != nil {
		t.Fatal(err)
	}
	return membership
}

// guard makes the guard of another process.
func (f *fixture) guard(t *testing.T, now func() time.Time) *actors.Guard {
	t.Helper()
	conn := f.mesh.Connect(t, "integration")
	membership, err := mesh.Join(t.Context(), conn, f.mesh.Log)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := actors.NewGuard(t.Context(), conn, membership, now)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// states opens the bucket that guards read, with the permissions of the consent actor.
func (f *fixture) states(t *testing.T) *kv.Bucket[subjects.ConsentState] {
	t.Helper()
	states, err := kv.Open[subjects.ConsentState](t.Context(), f.mesh.Conn(t, "consent").JS, kv.ConsentState)
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// ledger returns the entries of the ledger.
func (f *fixture) ledger(t *testing.T) [][]byte {
	t.Helper()
	return f.mesh.Messages(t, subjects.Ledger.Name, subjects.Ledger.Subjects[0])
}

func (f *fixture) grant(t *testing.T, as mesh.As, scope string) subjects.GrantedConsent {
	t.Helper()
	return call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: scope})
}

func (f *fixture) get(t *testing.T, as mesh.As, id string) subjects.Consent {
	t.Helper()
	return call(t, f, subjects.GetConsent, as, subjects.ConsentRequest{ConsentID: id})
}

func (f *fixture) history(t *testing.T, as mesh.As, id string) []subjects.ConsentEntry {
	t.Helper()
	return call(t, f, subjects.GetConsentHistory, as, subjects.ConsentHistoryRequest{
		ConsentRequest: subjects.ConsentRequest{ConsentID: id},
	}).Items
}

func (f *fixture) validate(t *testing.T, as mesh.As, scope string) subjects.ConsentDecision {
	t.Helper()
	return call(t, f, subjects.ValidateConsent, as, subjects.ValidateConsentRequest{Scope: scope})
}

func call[Req, Res any](t *testing.T, f *fixture, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), f.conn, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// wantCode calls an endpoint that must fail with a code, and returns its error.
func wantCode[Req, Res any](
	t *testing.T, f *fixture, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req,
) *subjects.Error {
	t.Helper()
	_, err := mesh.Call(t.Context(), f.conn, e, req, as)
	if subjects.CodeOf(err) != code {
		t.Fatalf("%s of %+v: got %v, want %s", e.Subject, req, err, code)
	}
	var coded *subjects.Error
	errors.As(err, &coded)
	return coded
}

// deaf makes a process that fails to acknowledge one kind of barrier until the returned function is called. That function
// returns the channel of the barriers that it acknowledges from then on.
func (f *fixture) deaf(t *testing.T, kind string) (hear func() <-chan mesh.Barrier) {
	t.Helper()
	var mu sync.Mutex
	hearing := false
	heard := make(chan mesh.Barrier, 100)
	f.join(t).Handle(kind, func(_ context.Context, s mesh.Barrier) error {
		mu.Lock()
		defer mu.Unlock()
		if !hearing {
			return errors.New("not acknowledged, for the test")
		}
		heard <- s
		return nil
	})
	return func() <-chan mesh.Barrier {
		mu.Lock()
		defer mu.Unlock()
		hearing = true
		return heard
	}
}

// insertConsent writes an active consent to the tables alone, as a crash before its publication would leave it. Its id is the user's.
func insertConsent(ctx context.Context, tx database.Tx, userID, scope string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO consents (id, user_id, scope, version, purpose, jurisdiction,
		status, continues, granted_at, expires_at, revoked_at, revoke_reason, superseded_by, renewal_notice, renewal_at, suppressed_at,
		purpose_id, purpose_version, legal_basis, notice_id, notice_version, notice_hash, notice_language, notice_served_at,
		method, ui_context, collection_place, acted_by, acted_via, acted_via_id, age_class, age_threshold,
		guardian_name, guardian_method, guardian_evidence, gpc_conflict)
		VALUES (?, ?, ?, 1, '', '', 'active', '[]', ?, ?, 0, '', '', '', 0, 0, 'a-purpose', 1, '', '', '', '', '', 0,
		'unproven', '', '', 'user', '', '', 'unknown', 0, '', '', '', ?)`,
		userID, userID, scope, time.Now().UnixMicro(), time.Now().Add(time.Hour).UnixMicro(), false)
	return err
}
