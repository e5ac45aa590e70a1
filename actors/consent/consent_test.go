package consent_test

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bundle is a mesh with the consent actor on one database, and a caller.
type bundle struct {
	mesh   *actortest.Mesh
	caller *mesh.Conn
	host   *actortest.Hosted
	db     database.Config
	start  func(t *testing.T) *actortest.Hosted
}

func setup(t *testing.T, database actortest.Database, options ...actortest.Option) *bundle {
	t.Helper()
	m := actortest.Start(t, options...)
	db := database.Config(t, "consent")
	b := &bundle{mesh: m, caller: m.Conn(t, "gateway"), db: db}
	keyset := filepath.Join(t.TempDir(), "keyset")
	b.start = func(t *testing.T) *actortest.Hosted {
		t.Helper()
		return m.Host(t, "consent", db, consent.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := consent.New(d, consent.DefaultConfig())
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		}, func(c *runtime.HostConfig) { c.KeysetFile = keyset })
	}
	b.host = b.start(t)
	return b
}

// guard is that of another process.
func (b *bundle) guard(t *testing.T, now func() time.Time) *actors.Guard {
	t.Helper()
	conn := b.mesh.Connect(t, "integration")
	presence, err := mesh.Join(t.Context(), conn, b.host.Telemetry.Log)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := actors.NewGuard(t.Context(), conn, presence, now)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func call[Req, Res any](t *testing.T, b *bundle, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), b.caller, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

func wantCode[Req, Res any](t *testing.T, b *bundle, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req) {
	t.Helper()
	if _, err := mesh.Call(t.Context(), b.caller, e, req, as); subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s", e.Subject, err, code)
	}
}

func TestLifeOfAConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		user := actortest.User()
		ada, eve := mesh.As{Token: b.mesh.Token(t, user)}, mesh.As{Token: b.mesh.Token(t, actortest.User())}
		ask := subjects.ValidateConsentRequest{Scope: subjects.ScopeIntegrationsExecute}
		if d := call(t, b, subjects.ValidateConsent, ada, ask); d.Allowed || d.Reason != "missing" {
			t.Errorf("before the grant: %+v", d)
		}
		first := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
			Scope: subjects.ScopeIntegrationsExecute, Purpose: "the story", Jurisdiction: "DE",
		})
		if d := call(t, b, subjects.ValidateConsent, ada, ask); !d.Allowed || d.ConsentID != first.ID {
			t.Errorf("after the grant: %+v", d)
		}
		if first.Receipt.RecordID != first.ID || first.Receipt.SubjectID != user {
			t.Errorf("receipt: %+v", first.Receipt)
		}
		second := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeIntegrationsExecute})
		if got := call(t, b, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: first.ID}); got.Status != "superseded" || got.SupersededBy != second.ID {
			t.Errorf("the renewed consent: %+v", got)
		}
		wantCode(t, b, subjects.CodeConflict, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: first.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.RevokeConsent, eve, subjects.RevokeConsentRequest{ConsentID: second.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.GetConsent, eve, subjects.ConsentRequest{ConsentID: second.ID})
		wantCode(t, b, subjects.CodeUnauthenticated, subjects.GrantConsent, mesh.As{}, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
		revoked := call(t, b, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID, Reason: "enough"})
		if revoked.Status != "revoked" || revoked.RevokedAt == nil || revoked.RevokeReason != "enough" {
			t.Errorf("revoked: %+v", revoked)
		}
		again := call(t, b, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID, Reason: "twice"})
		if again.RevokeReason != "enough" {
			t.Errorf("revoking twice changed it: %+v", again)
		}
		if d := call(t, b, subjects.ValidateConsent, ada, ask); d.Allowed || d.Reason != "revoked" {
			t.Errorf("after the revocation: %+v", d)
		}
		history := call(t, b, subjects.GetConsentHistory, ada, subjects.ConsentHistoryRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: second.ID}})
		if len(history.Items) != 2 || history.Items[0].Change != "granted" || history.Items[1].Change != "revoked" {
			t.Errorf("history: %+v", history.Items)
		}
	})
}

func TestListPagesAndFilters(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		ada := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		for _, scope := range subjects.Scopes()[:5] {
			call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: scope})
		}
		seen, cursor := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			page := call(t, b, subjects.ListConsents, ada, subjects.ListConsentsRequest{
				PageRequest: subjects.PageRequest{Limit: 2, Cursor: cursor}, Status: "active",
			})
			for _, c := range page.Items {
				seen[c.ID] = true
			}
			if cursor = page.NextCursor; cursor == "" {
				if pages != 2 {
					t.Errorf("%d pages, want 3", pages+1)
				}
				break
			}
		}
		if len(seen) != 5 {
			t.Errorf("saw %d consents, want 5", len(seen))
		}
		none := call(t, b, subjects.ListConsents, ada, subjects.ListConsentsRequest{Status: "revoked"})
		if none.Items == nil || len(none.Items) != 0 {
			t.Errorf("revoked: %+v", none.Items)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.ListConsents, ada,
			subjects.ListConsentsRequest{PageRequest: subjects.PageRequest{Cursor: "made-up"}})
	})
}

func TestConsentExpires(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	b := setup(t, actortest.Databases(t)[0], actortest.WithClock(now))
	user := actortest.User()
	ada := mesh.As{Token: b.mesh.Token(t, user)}
	soon := time.Now().Add(5 * time.Minute)
	c := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute, ExpiresAt: &soon})
	ahead.Store(int64(6 * time.Minute))
	if d := call(t, b, subjects.ValidateConsent, ada, subjects.ValidateConsentRequest{Scope: c.Scope}); d.Allowed || d.Reason != "expired" {
		t.Errorf("decision: %+v", d)
	}
	if got := call(t, b, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: c.ID}); got.Status != "expired" {
		t.Errorf("status: %s", got.Status)
	}
	past := now().Add(-time.Minute)
	wantCode(t, b, subjects.CodeInvalid, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: c.Scope, ExpiresAt: &past})
}

// TestUsersSpeakForThemselves: a user id in the body is a service's word alone.
func TestUsersSpeakForThemselves(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	ada, eve := actortest.User(), actortest.User()
	b.mesh.Consent(t, ada, subjects.ScopeIntegrationsExecute)
	ask := subjects.ValidateConsentRequest{UserID: ada, Scope: subjects.ScopeIntegrationsExecute}
	if d := call(t, b, subjects.ValidateConsent, mesh.As{Token: b.mesh.Token(t, eve)}, ask); d.Allowed {
		t.Error("eve was answered for ada")
	}
	b.caller = b.mesh.Conn(t, "workflow")
	if d := call(t, b, subjects.ValidateConsent, mesh.As{Service: true}, ask); !d.Allowed {
		t.Errorf("the service was not answered for ada: %+v", d)
	}
	bulk := call(t, b, subjects.BulkValidateConsents, mesh.As{Service: true}, subjects.BulkValidateConsentsRequest{
		Checks: []subjects.ValidateConsentRequest{ask, {UserID: eve, Scope: ask.Scope}},
	})
	if len(bulk.Results) != 2 || !bulk.Results[0].Allowed || bulk.Results[1].Allowed {
		t.Errorf("bulk: %+v", bulk.Results)
	}
}

// TestNothingStartsAfterARevocation: many starters at another process, one revocation, no start after it
// has answered.
func TestNothingStartsAfterARevocation(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := mesh.As{Token: b.mesh.Token(t, user)}
	guard := b.guard(t, time.Now)
	for round := range 20 {
		c := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeIntegrationsExecute})
		var answered atomic.Bool
		var late, started atomic.Int64
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for {
					err := guard.Do(t.Context(), mesh.Grant{UserID: user}, subjects.ScopeIntegrationsExecute,
						func(ctx context.Context, begun func()) error {
							if ctx.Err() != nil {
								return ctx.Err()
							}
							if answered.Load() {
								late.Add(1)
							}
							started.Add(1)
							begun()
							return nil
						})
					if subjects.CodeOf(err) == subjects.CodeConsentRequired {
						return
					}
					if err != nil {
						t.Errorf("a start: %v", err)
						return
					}
				}
			})
		}
		for started.Load() < 100 {
			if t.Context().Err() != nil {
				t.Fatal("the starters do not start")
			}
		}
		call(t, b, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID})
		answered.Store(true)
		wg.Wait()
		if late.Load() > 0 {
			t.Fatalf("round %d: %d of %d starts came after the revocation had answered", round, late.Load(), started.Load())
		}
	}
}

// TestARenewalHoldsAtOnce: a consent that takes the place of a longer one ends when it says, also where the longer one was
// just read.
func TestARenewalHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := mesh.As{Token: b.mesh.Token(t, user)}
	var ahead atomic.Int64
	guard := b.guard(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	start := func(c subjects.GrantedConsent) error {
		return guard.Do(t.Context(), mesh.Grant{UserID: user, Scope: c.Scope, ConsentID: c.ID}, c.Scope, func(context.Context, func()) error { return nil })
	}
	grant := func(lasts time.Duration) subjects.GrantedConsent {
		ends := time.Now().Add(lasts)
		return call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeIntegrationsExecute, ExpiresAt: &ends})
	}
	long := grant(time.Hour)
	if err := start(long); err != nil {
		t.Fatal(err)
	}
	short := grant(30 * time.Second)
	if err := start(long); err != nil { // it goes on in the short one
		t.Errorf("after the renewal: %v", err)
	}
	ahead.Store(int64(31 * time.Second))
	for _, c := range []subjects.GrantedConsent{long, short} {
		if err := start(c); subjects.CodeOf(err) != subjects.CodeConsentRequired {
			t.Errorf("under %s after its end: %v", c.ID, err)
		}
	}
}

// TestRestartMendsWhatACrashLeft: a consent that was recorded and never published comes into force, a
// revocation that was published and never recorded is.
func TestRestartMendsWhatACrashLeft(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		user := actortest.User()
		ada := mesh.As{Token: b.mesh.Token(t, user)}
		unpublished := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute})
		unrecorded := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
		states, err := kv.Open[subjects.ConsentState](t.Context(), b.mesh.Conn(t, "consent").JS, kv.ConsentState)
		if err != nil {
			t.Fatal(err)
		}
		if err := states.Delete(t.Context(), kv.EncodeKey(user, unpublished.Scope)); err != nil {
			t.Fatal(err)
		}
		if _, err := states.Put(t.Context(), kv.EncodeKey(user, unrecorded.Scope),
			subjects.ConsentState{ConsentID: unrecorded.ID, Version: 1, Status: "revoked"}); err != nil {
			t.Fatal(err)
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.host = b.start(t)
		actortest.Eventually(t, "the consent is in force", func() bool {
			return call(t, b, subjects.ValidateConsent, ada, subjects.ValidateConsentRequest{Scope: unpublished.Scope}).Allowed
		})
		actortest.Eventually(t, "the revocation is recorded", func() bool {
			return call(t, b, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: unrecorded.ID}).Status == "revoked"
		})
	})
}

func TestEveryChangeReachesLedgerAndEvents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		user := actortest.User()
		ada := mesh.As{Token: b.mesh.Token(t, user)}
		c := call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute})
		call(t, b, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID})
		operator := b.mesh.Conn(t, "operator")
		for _, stream := range []subjects.Stream{subjects.Ledger, subjects.Events} {
			actortest.Eventually(t, stream.Name+" holds both changes", func() bool {
				s, err := operator.JS.Stream(t.Context(), stream.Name)
				if err != nil {
					t.Fatal(err)
				}
				info, err := s.Info(t.Context())
				return err == nil && info.State.Msgs == 2
			})
		}
	})
}

// TestAWordInTheWrongPlaceCountsForNothing: headers that only service subjects may carry.
func TestAWordInTheWrongPlaceCountsForNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	ada := actortest.User()
	b.mesh.Consent(t, ada, subjects.ScopeIntegrationsExecute)
	header := nats.Header{mesh.HeaderUserID: {ada}, "X-User-Id": {ada}}
	_, err := b.caller.Forward(t.Context(), subjects.ListConsents.Subject, header, nil)
	if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("got %v, want unauthenticated", err)
	}
}

// TestGrantsAtOnce: of a user's grants of one scope at the same time each is recorded, in an order, and the last one is active.
func TestGrantsAtOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		ada := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		var all sync.WaitGroup
		const grants = 12
		for range grants {
			all.Go(func() {
				if _, err := mesh.Call(t.Context(), b.caller, subjects.GrantConsent, subjects.GrantConsentRequest{
					Scope: subjects.ScopeWorkflowsExecute, Purpose: "a test",
				}, ada); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var active []string
		followed := map[string]bool{}
		for _, c := range call(t, b, subjects.ListConsents, ada, subjects.ListConsentsRequest{}).Items {
			if c.Status == "active" {
				active = append(active, c.ID)
			} else {
				followed[c.SupersededBy] = true
			}
		}
		d := call(t, b, subjects.ValidateConsent, ada, subjects.ValidateConsentRequest{Scope: subjects.ScopeWorkflowsExecute})
		if len(active) != 1 || len(followed) != grants-1 || followed[""] || d.ConsentID != active[0] {
			t.Errorf("active %v, superseded by %v, in force %+v", active, followed, d)
		}
	})
}
