package integration_test

import (
	"context"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestStoppingKeepsWhatWasAskedFor: a process that is stopped while it refreshes ahead of time waits for the answer, and
// stores it: the refresh token that it has spent is no good any more.
func TestStoppingKeepsWhatWasAskedFor(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newAuthorizer(t)
		v.lifetime = 40
		var now clock
		b := setup(t, kind, withAcme(t, v), at(&now), withKeyset(keyset(filepath.Join(t.TempDir(), "keyset"))),
			with(func(c *integration.Config) { c.Refresh.Every = 20 * time.Millisecond }))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		asked, stops := make(chan struct{}), make(chan struct{})
		v.will(func(w http.ResponseWriter, r *http.Request) {
			v.lifetime = 3600
			close(asked)
			select {
			case <-stops:
			case <-r.Context().Done(): // nobody waits for the answer
			}
			old := r.PostForm.Get("refresh_token")
			v.spent[old] = true
			v.give(w, v.families[old], true)
		})
		now.pass(21 * time.Second)
		<-asked
		go func() {
			defer close(stops)
			for t.Context().Err() == nil {
				_, err := mesh.Call(t.Context(), b.caller, subjects.ListProviders, subjects.ListProvidersRequest{}, ada)
				if subjects.CodeOf(err) == subjects.CodeUnavailable {
					return // it takes nothing new
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

// refusing has the API refuse so many calls, whatever their token.
func (v *authorizer) refusing(calls int64, last func()) {
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

// TestRefusedAgain: the token that a call got may have ended before it came to be used. Only the third refusal is final.
func TestRefusedAgain(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newAuthorizer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		v.refusing(2, func() {})
		if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`)); got.Attempts != 3 || v.count("refresh_token") != 2 {
			t.Errorf("%d attempts, %d refreshes", got.Attempts, v.count("refresh_token"))
		}
		v.refusing(3, func() {})
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != "needs_reauth" {
			t.Errorf("got %+v", got)
		}
	})
}

// onPostgres runs a test that needs a second hand in the actor's database.
func onPostgres(t *testing.T, test func(t *testing.T, kind actortest.Database)) {
	t.Helper()
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		if kind.Name == database.DialectPostgres {
			test(t, kind)
		}
	})
}

// TestRefusedWhileAnotherAsks: what is refused while another process gets the connection other tokens says nothing of those.
func TestRefusedWhileAnotherAsks(t *testing.T) {
	onPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newAuthorizer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		v.refusing(3, func() { run(t, db, `UPDATE connections SET claimed_by = 'another', claimed_until = 9000000000000000`) })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != "active" {
			t.Errorf("got %+v", got)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}

// TestTokensAreStoredAgain: a database that fails for a moment does not lose what the provider gave.
func TestTokensAreStoredAgain(t *testing.T) {
	onPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newAuthorizer(t)
		b := setup(t, kind, withAcme(t, v))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		run(t, db, `CREATE SEQUENCE failures`) // which a transaction that fails does not take back
		run(t, db, `CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('failures') <= 2 THEN RAISE EXCEPTION 'no room'; END IF; RETURN NEW; END $$`)
		run(t, db, `CREATE TRIGGER fails BEFORE UPDATE OF tokens ON connections FOR EACH ROW EXECUTE FUNCTION fails()`)
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		call(t, b, subjects.RefreshConnection, ada, one)
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		call(t, b, subjects.RefreshConnection, ada, one)
		if n := v.count("refresh_token"); n != 2 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func run(t *testing.T, db *database.DB, statement string) {
	t.Helper()
	err := db.RunInTx(context.Background(), func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
