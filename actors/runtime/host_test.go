package runtime_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestHealthCheck(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var failure atomic.Pointer[error]
	hostService(t, m, actors.Service{Name: "auth", Checks: map[string]func(context.Context) error{
		"store": func(context.Context) error {
			if err := failure.Load(); err != nil {
				return *err
			}
			return nil
		},
	}})
	check := func() subjects.Health {
		t.Helper()
		health, err := mesh.Call(t.Context(), m.Conn(t, mesh.UserGateway), subjects.HealthChecks["auth"], subjects.Empty{}, mesh.As{})
		if err != nil {
			t.Fatal(err)
		}
		return health
	}
	health := check()
	if health.Status != "ok" || health.Actor != "auth" || health.Version != "0.0.0-test" {
		t.Errorf("the health is %+v", health)
	}
	for _, name := range []string{"store", "database", "nats"} {
		if health.Checks[name] != "ok" {
			t.Errorf("%s is %q", name, health.Checks[name])
		}
	}
	for err, want := range map[error]string{
		subjects.Errorf(subjects.CodeUnavailable, "part 3 does not move"): "unavailable: part 3 does not move",
		kv.ErrUnavailable:             "unavailable",
		errors.New("canary"):          "internal",
		context.DeadlineExceeded:      "timeout",
		database.ErrUnavailable:       "unavailable",
		subjects.Errorf("x_code", ""): "x_code",
	} {
		failure.Store(&err)
		actortest.Eventually(t, "the check runs again, with "+want, func() bool { health = check(); return health.Checks["store"] == want })
		if health.Status != "degraded" || health.Checks["database"] != "ok" {
			t.Errorf("with %v the health is %+v", err, health)
		}
	}
}

// A background task that fails or panics is started again, one that returns nil is not, and all end with the actor.
func TestBackgroundTasks(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var failing, panicking, finished atomic.Int64
	stopped := make(chan struct{})
	hosted := hostService(t, m, actors.Service{Name: "auth", Background: map[string]func(context.Context) error{
		"failing":   func(context.Context) error { failing.Add(1); return errors.New("failed") },
		"panicking": func(context.Context) error { panicking.Add(1); panic("canary") },
		"finished":  func(context.Context) error { finished.Add(1); return nil },
		"endless": func(ctx context.Context) error {
			<-ctx.Done()
			close(stopped)
			return ctx.Err()
		},
	}})
	actortest.Eventually(t, "restarts", func() bool { return failing.Load() > 1 && panicking.Load() > 1 })
	if finished.Load() != 1 {
		t.Errorf("a task that returned nil ran %d times", finished.Load())
	}
	if err := hosted.Stop(t); err != nil {
		t.Error(err)
	}
	select {
	case <-stopped:
	default:
		t.Error("the actor stopped before its background task")
	}
}

func TestExpiredTokenIsAnonymousAtPublicEndpoints(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	callers := make(chan actors.Caller, 1)
	host(t, m, "auth", actors.Bind(subjects.ValidateToken, func(ctx context.Context, _ subjects.ValidateTokenRequest) (subjects.TokenStatus, error) {
		callers <- actors.CallerFrom(ctx)
		return subjects.TokenStatus{}, nil
	}))
	user := actortest.User()
	for token, want := range map[string]string{
		"": "", "garbage": "", m.Token(t, user, actortest.WithExpiry(time.Now().Add(-time.Minute))): "", m.Token(t, user): user,
	} {
		_, err := mesh.Call(t.Context(), m.Conn(t, mesh.UserGateway), subjects.ValidateToken,
			subjects.ValidateTokenRequest{Token: "x"}, mesh.As{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if got := receive(t, callers); got.UserID != want {
			t.Errorf("with the token %.20q the caller is %q, want %q", token, got.UserID, want)
		}
	}
}

// A reply above NATS's payload limit is an error to the caller instead of a lost reply.
func TestReplyAboveThePayloadLimit(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", actors.Bind(subjects.GetUserProfile, func(context.Context, subjects.Empty) (subjects.Profile, error) {
		return subjects.Profile{ID: strings.Repeat("x", int(m.Conn(t, mesh.UserGateway).MaxPayload()))}, nil
	}))
	_, err := getProfile(t.Context(), t, m, m.Token(t, actortest.User()))
	wantCode(t, err, subjects.CodeTooLarge)
}

// Host fails, and releases what it has opened, if a part of the actor cannot be started.
func TestHostFailures(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	failure := errors.New("failure")
	service := func(actors.Deps) (actors.Service, error) { return actors.Service{Name: "auth"}, nil }
	dir := t.TempDir()
	config := func() runtime.HostConfig {
		return runtime.HostConfig{
			Actor: "auth", NATS: m.Options(t, "auth"), Database: database.Config{Actor: "auth", DataDir: dir},
			KeysetFile: dir + "/keyset", Issuer: actortest.Issuer, Audience: actortest.Audience,
			Telemetry: actortest.Telemetry(t),
		}
	}
	for name, c := range map[string]struct {
		change func(*runtime.HostConfig)
		build  func(actors.Deps) (actors.Service, error)
		want   string
	}{
		"an invalid database": {func(c *runtime.HostConfig) { c.Database.URL = "mysql:x" }, service, "opening the database of auth"},
		"an invalid keyset":   {func(c *runtime.HostConfig) { c.KeysetFile = "/dev/null" }, service, "opening the keyset of auth"},
		"a failing build": {
			func(*runtime.HostConfig) {}, func(actors.Deps) (actors.Service, error) { return actors.Service{}, failure }, "building auth: failure",
		},
	} {
		cfg := config()
		c.change(&cfg)
		err := runtime.Host(t.Context(), cfg, nil, c.build, func() { t.Errorf("%s: it is ready", name) })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	db, err := database.Open(t.Context(), config().Database, zap.NewNop())
	if err != nil {
		t.Fatalf("the database was not closed: %v", err)
	}
	_ = db.Close()
}

// A worker whose durable does not exist, because setup has not run, is an error that names it.
func TestMissingDurable(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	worker := actors.Work(testJob(), func(context.Context, subjects.SendMailJob) error { return nil })
	worker.Consumer.Durable = "missing"
	err := runtime.Host(t.Context(), runtime.HostConfig{
		Actor: "auth", NATS: m.Options(t, "auth"), Database: database.Config{Actor: "auth", DataDir: t.TempDir()},
		KeysetFile: t.TempDir() + "/keyset", Issuer: actortest.Issuer, Audience: actortest.Audience, Telemetry: actortest.Telemetry(t), Version: "0.0.0-test",
	}, nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "auth", Workers: []actors.Worker{worker}}, nil
	}, func() { t.Error("it is ready") })
	if err == nil || !strings.Contains(err.Error(), "opening durable missing") {
		t.Errorf("%v, want an error that names the durable", err)
	}
}
