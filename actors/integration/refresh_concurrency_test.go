package integration_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestStopDuringRefresh tests that a process that is stopped during a renewal ahead of expiry awaits and stores the response:
// the old refresh token is not valid any more.
func TestStopDuringRefresh(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newOAuthServer(t)
		v.lifetime = 40
		var now clock
		b := setup(t, kind, withAcme(t, v), withClock(&now), withKeyset(keyset(filepath.Join(t.TempDir(), "keyset"))),
			withConfig(func(c *integration.Config) { c.Refresh.Every = 20 * time.Millisecond }))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		requested, stopped := make(chan struct{}), make(chan struct{})
		v.answerNext(func(w http.ResponseWriter, r *http.Request) {
			v.lifetime = 3600
			close(requested)
			select {
			case <-stopped:
			case <-r.Context().Done(): // the request was cancelled
			}
			old := r.PostForm.Get("refresh_token")
			v.spent[old] = true
			v.issue(w, v.families[old], true)
		})
		now.advance(21 * time.Second)
		<-requested
		go func() {
			defer close(stopped)
			for t.Context().Err() == nil {
				_, err := mesh.Call(t.Context(), b.caller, subjects.ListProviders, subjects.ListProvidersRequest{}, ada)
				if subjects.CodeOf(err) == subjects.CodeUnavailable {
					return // the process refuses new requests
				}
			}
		}()
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.start()
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if n := v.count("refresh_token"); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
	})
}

// refuseCalls makes the API refuse the next calls with any token, and calls last at the last one.
func (v *oauthServer) refuseCalls(calls int64, last func()) {
	var refused atomic.Int64
	v.mu.Lock()
	defer v.mu.Unlock()
	v.api = func(w http.ResponseWriter, _ *http.Request) bool {
		n := refused.Add(1)
		if n > calls {
			return false
		}
		if n == calls {
			last()
		}
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return true
	}
}

// TestRefusalOfOneResource tests that a call whose renewed token is refused too fails alone while the health probe is accepted, with one
// renewal, and that the connection needs a new authorization when the probe is refused as well.
func TestRefusalOfOneResource(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		v.refuseCalls(1, func() {})
		if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`)); got.Attempts != 2 || v.count("refresh_token") != 1 {
			t.Errorf("%d attempts, %d refreshes", got.Attempts, v.count("refresh_token"))
		}
		v.mu.Lock()
		v.api = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/things/protected" {
				refuse(w, http.StatusUnauthorized, "youtubeSignupRequired")
			}
			return r.URL.Path == "/things/protected"
		}
		v.mu.Unlock()
		for range 3 {
			wantCode(t, b, subjects.CodeProvider, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"protected"}`))
		}
		if n := v.count("refresh_token"); n != 2 {
			t.Errorf("%d refreshes, want one more", n)
		}
		calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
		if calls.Items[0].Class != "auth" {
			t.Errorf("the class is %s", calls.Items[0].Class)
		}
		if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
			t.Errorf("got %+v", got)
		}
		// The token expires: it is renewed, although the probe had accepted it.
		v.refuseCalls(0, func() {})
		v.expire()
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		v.refuseCalls(3, func() {})
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionNeedsReauth {
			t.Errorf("got %+v", got)
		}
	})
}

// TestRefusalOfOneResourceByKey is TestRefusalOfOneResource for credentials that cannot be renewed.
func TestRefusalOfOneResourceByKey(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	v := newFakeProvider(t, respond(401, `{"message":"protected"}`))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	wantCode(t, b, subjects.CodeProvider, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
	if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
		t.Errorf("got %+v", got)
	}
}

// onPostgres runs a test that opens the actor's database while the actor runs.
func onPostgres(t *testing.T, test func(t *testing.T, kind actortest.Database)) {
	t.Helper()
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		if kind.Name == database.DialectPostgres {
			test(t, kind)
		}
	})
}

// TestRefusalDuringAnotherRenewal tests that a refusal does not mark a connection whose tokens another process is renewing.
func TestRefusalDuringAnotherRenewal(t *testing.T) {
	onPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		v.refuseCalls(3, func() { exec(t, db, `UPDATE connections SET claimed_by = 'another', claimed_until = 9000000000000000`) })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
			t.Errorf("got %+v", got)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}

// TestStoreTokensRetries tests that new tokens are not lost by a transient database failure.
func TestStoreTokensRetries(t *testing.T) {
	onPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		exec(t, db, `CREATE SEQUENCE failures`) // a rollback does not reset it
		exec(t, db, `CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('failures') <= 2 THEN RAISE EXCEPTION 'no room'; END IF; RETURN NEW; END $$`)
		exec(t, db, `CREATE TRIGGER fails BEFORE UPDATE OF tokens ON connections FOR EACH ROW EXECUTE FUNCTION fails()`)
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		call(t, b, subjects.RefreshConnection, ada, one)
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		call(t, b, subjects.RefreshConnection, ada, one)
		if n := v.count("refresh_token"); n != 2 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// TestTokensOutliveAFrozenProcess tests that new tokens are stored although another process of the actor does not answer, and the commit waits
// for its lease for longer than a token request may last.
func TestTokensOutliveAFrozenProcess(t *testing.T) {
	onPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, kind, withAcme(t, v), withConfig(func(c *integration.Config) { c.Refresh.Timeout = time.Second }))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		var frozen atomic.Bool
		other, err := mesh.Join(t.Context(), b.mesh.Conn(t, "integration"), zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		other.Handle(mesh.BarrierCaches, func(context.Context, mesh.Barrier) error {
			if frozen.Load() {
				return errors.New("frozen")
			}
			return nil
		})
		v.answerNext(func(w http.ResponseWriter, r *http.Request) {
			frozen.Store(true)
			time.AfterFunc(2*time.Second, func() { frozen.Store(false) })
			old := r.PostForm.Get("refresh_token")
			v.spent[old] = true
			v.issue(w, v.families[old], true)
		})
		call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if n := v.count("refresh_token"); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func exec(t *testing.T, db *database.DB, statement string) {
	t.Helper()
	err := db.RunInTx(context.Background(), func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
