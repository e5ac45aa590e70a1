package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const goodPassword = "Test123!@#"

// harness is an auth actor on its own mesh, with a gateway's connection to call it.
type harness struct {
	*actortest.Mesh
	t        testing.TB
	gateway  *mesh.Conn
	database database.Config
	keyset   string
	config   auth.Config
	actor    *actortest.Hosted
	latest   *auth.Actor // of the latest start
	clock    *clock
	log      *zap.Logger // replaces the test's logger for copies started from now on
}

// clock is a clock that a test can advance.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func fastConfig() auth.Config {
	c := auth.DefaultConfig()
	c.BcryptCost, c.HashQueue = 4, 1000
	return c
}

// onEachDatabase runs a test on SQLite and on PostgreSQL.
func onEachDatabase(t *testing.T, test func(t *testing.T, b *harness), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, kind, options...))
		})
	}
}

// onPostgres runs a test in which copies share a database. Without PostgreSQL, actortest.Databases reports it.
func onPostgres(t *testing.T, test func(t *testing.T, b *harness), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		if kind.Name == database.DialectPostgres {
			test(t, setup(t, kind, options...))
		}
	}
}

// onSQLite sets up a test that does not depend on the database.
func onSQLite(t *testing.T, options ...func(*auth.Config)) *harness {
	t.Helper()
	t.Parallel()
	return setup(t, actortest.Databases(t)[0], options...)
}

func setup(t testing.TB, kind actortest.Database, options ...func(*auth.Config)) *harness {
	t.Helper()
	clock := &clock{}
	b := &harness{
		Mesh: actortest.Start(t, actortest.WithClock(clock.now)), t: t, clock: clock,
		database: kind.Config(t, "auth"), keyset: filepath.Join(t.TempDir(), "keyset"), config: fastConfig(),
	}
	for _, option := range options {
		option(&b.config)
	}
	b.actor = b.start()
	b.gateway = b.Conn(t, "gateway")
	return b
}

// start runs a copy of the actor. All copies share the database and the keyset.
func (b *harness) start() *actortest.Hosted {
	b.t.Helper()
	return b.Host(b.t, "auth", b.database, auth.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := auth.New(d, b.config)
		if err != nil {
			return actors.Service{}, err
		}
		b.latest = a
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile, c.EgressAllowHTTP = b.keyset, true
		if b.log != nil {
			c.Telemetry.Log = b.log
		}
		c.EgressAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // the tests' own providers
	})
}

// call calls an endpoint as the gateway does.
func call[Req, Res any](b *harness, e subjects.Endpoint[Req, Res], req Req, token string) (Res, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return mesh.Call(ctx, b.gateway, e, req, mesh.As{Token: token})
}

// mustCall is call that fails the test on an error.
func mustCall[Req, Res any](b *harness, e subjects.Endpoint[Req, Res], req Req, token string) Res {
	b.t.Helper()
	res, err := call(b, e, req, token)
	if err != nil {
		b.t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// requireCode fails the test unless err has the code.
func requireCode(t testing.TB, err error, code subjects.Code) *subjects.Error {
	t.Helper()
	var e *subjects.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return e
}

// loginFrom calls login as the gateway does for a client with an IP address.
func (b *harness) loginFrom(ip, email, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	body := []byte(`{"email":"` + email + `","password":"` + password + `"}`)
	header := nats.Header{mesh.HeaderClientIP: {ip}, mesh.HeaderUserAgent: {"a browser"}}
	_, err := b.gateway.Forward(ctx, subjects.Login.Subject, header, body)
	return err
}

func (b *harness) register(email string) {
	b.t.Helper()
	got := mustCall(b, subjects.Register, subjects.RegisterRequest{
		Email: email, Password: goodPassword, FirstName: "Ada", LastName: "Lovelace",
	}, "")
	if got.Status != "accepted" {
		b.t.Fatalf("register returned %+v", got)
	}
}

func (b *harness) login(email string) subjects.Session {
	b.t.Helper()
	return mustCall(b, subjects.Login, subjects.LoginRequest{Email: email, Password: goodPassword}, "")
}

// signUp registers an account and signs in.
func (b *harness) signUp(email string) subjects.Session {
	b.t.Helper()
	b.register(email)
	return b.login(email)
}

// concurrently runs n calls of f at once and returns their errors.
func concurrently(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			errs[i] = f(i)
		})
	}
	start.Done()
	done.Wait()
	return errs
}

// metric returns the sum of a metric over the series with the label value, or over all if it is empty.
func (b *harness) metric(name, label string) float64 {
	b.t.Helper()
	families, err := b.actor.Telemetry.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	sum := 0.
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matches := label == ""
			for _, l := range m.GetLabel() {
				matches = matches || l.GetValue() == label
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("timed out waiting: %s", what)
		case <-tick.C:
		}
	}
}

func containsAction(data []byte, action string) bool {
	var e subjects.AuthAuditEntry
	return json.Unmarshal(data, &e) == nil && e.Action == action
}
