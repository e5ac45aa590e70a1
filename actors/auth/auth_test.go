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

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const goodPassword = "Test123!@#"

// bench is an auth actor on a mesh of its own, and a gateway's connection to call it.
type bench struct {
	*actortest.Mesh
	t        testing.TB
	gateway  *mesh.Conn
	database database.Config
	keyset   string
	config   auth.Config
	actor    *actortest.Hosted
	made     *auth.Actor // by the latest start
	clock    *clock
	log      *zap.Logger // of copies started from now on, in place of the test's
}

// clock is a clock that a test sets forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func fastConfig() auth.Config {
	c := auth.DefaultConfig()
	c.BcryptCost, c.HashQueue = 4, 1000
	return c
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, b *bench), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, kind, options...))
		})
	}
}

// onPostgres runs a test where copies share a database; Databases has said so where there is no PostgreSQL.
func onPostgres(t *testing.T, test func(t *testing.T, b *bench), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		if kind.Name == database.DialectPostgres {
			test(t, setup(t, kind, options...))
		}
	}
}

// once runs a test on SQLite alone, where no statement is in question.
func once(t *testing.T, options ...func(*auth.Config)) *bench {
	t.Helper()
	t.Parallel()
	return setup(t, actortest.Databases(t)[0], options...)
}

func setup(t testing.TB, kind actortest.Database, options ...func(*auth.Config)) *bench {
	t.Helper()
	clock := &clock{}
	b := &bench{
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

// start runs a copy of the actor; the copies share the database and the keyset.
func (b *bench) start() *actortest.Hosted {
	b.t.Helper()
	return b.Host(b.t, "auth", b.database, auth.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := auth.New(d, b.config)
		if err != nil {
			return actors.Service{}, err
		}
		b.made = a
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
func call[Req, Res any](b *bench, e subjects.Endpoint[Req, Res], req Req, token string) (Res, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return mesh.Call(ctx, b.gateway, e, req, mesh.As{Token: token})
}

// must is call where no error may be.
func must[Req, Res any](b *bench, e subjects.Endpoint[Req, Res], req Req, token string) Res {
	b.t.Helper()
	res, err := call(b, e, req, token)
	if err != nil {
		b.t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// refused fails the test unless err has the code.
func refused(t testing.TB, err error, code subjects.Code) *subjects.Error {
	t.Helper()
	var e *subjects.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return e
}

// from calls login as the gateway does for a client at an address.
func (b *bench) from(ip, email, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	body := []byte(`{"email":"` + email + `","password":"` + password + `"}`)
	header := nats.Header{mesh.HeaderClientIP: {ip}, mesh.HeaderUserAgent: {"a browser"}}
	_, err := b.gateway.Forward(ctx, subjects.Login.Subject, header, body)
	return err
}

func (b *bench) register(email string) {
	b.t.Helper()
	got := must(b, subjects.Register, subjects.RegisterRequest{
		Email: email, Password: goodPassword, FirstName: "Ada", LastName: "Lovelace",
	}, "")
	if got.Status != "accepted" {
		b.t.Fatalf("register answered %+v", got)
	}
}

func (b *bench) login(email string) subjects.Session {
	b.t.Helper()
	return must(b, subjects.Login, subjects.LoginRequest{Email: email, Password: goodPassword}, "")
}

// signedUp registers and signs in.
func (b *bench) signedUp(email string) subjects.Session {
	b.t.Helper()
	b.register(email)
	return b.login(email)
}

// together runs f so many times at once and returns the errors.
func together(n int, f func(i int) error) []error {
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

// metric sums a metric of the actor's over the label value, or over all where it is empty.
func (b *bench) metric(name, label string) float64 {
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

// eventually waits for a condition that another process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		case <-tick.C:
		}
	}
}

func containsAction(data []byte, action string) bool {
	var e subjects.AuthAuditEntry
	return json.Unmarshal(data, &e) == nil && e.Action == action
}
