package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// host runs a service in the name of an actor, with the given endpoints and a new SQLite file.
func host(t *testing.T, m *actortest.Mesh, actor string, bindings ...actors.Binding) *actortest.Hosted {
	t.Helper()
	return hostService(t, m, actors.Service{Name: actor, Bindings: bindings})
}

func hostService(t *testing.T, m *actortest.Mesh, s actors.Service) *actortest.Hosted {
	t.Helper()
	database := database.Config{Actor: s.Name, DataDir: t.TempDir()}
	return m.Host(t, s.Name, database, nil, func(actors.Deps) (actors.Service, error) { return s, nil })
}

// profile binds get_user_profile to a handler.
func profile(handler func(context.Context) error) actors.Binding {
	return actors.Bind(subjects.GetUserProfile, func(ctx context.Context, _ subjects.Empty) (subjects.Profile, error) {
		err := handler(ctx)
		return subjects.Profile{ID: actors.CallerFrom(ctx).UserID}, err
	})
}

func succeed(context.Context) error { return nil }

// getProfile calls get_user_profile with a user's token, as the gateway does.
func getProfile(ctx context.Context, t *testing.T, m *actortest.Mesh, token string) (subjects.Profile, error) {
	t.Helper()
	return mesh.Call(ctx, m.Conn(t, mesh.UserGateway), subjects.GetUserProfile, subjects.Empty{}, mesh.As{Token: token})
}

func wantCode(t *testing.T, err error, want subjects.Code) {
	t.Helper()
	if got := subjects.CodeOf(err); got != want {
		t.Errorf("the code is %q (%v), want %q", got, err, want)
	}
}

func TestPanicDisclosesNothing(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	hosted := host(t, m, "auth", profile(func(context.Context) error { panic("canary") }))
	token := m.Token(t, actortest.User())
	for range 2 { // the actor survives the first panic
		_, err := getProfile(t.Context(), t, m, token)
		wantCode(t, err, subjects.CodeInternal)
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("the caller receives %v", err)
		}
	}
	if got := hosted.Metric(t, "weft_panics_total", "auth"); got != 2 {
		t.Errorf("%v panics are counted, want 2", got)
	}
}

func TestErrorWithoutCodeDisclosesNothing(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(func(context.Context) error { return fmt.Errorf("dialing db: canary") }))
	_, err := getProfile(t.Context(), t, m, m.Token(t, actortest.User()))
	wantCode(t, err, subjects.CodeInternal)
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the caller receives %v", err)
	}
}

func TestHandlerHasTheCallersDeadline(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	left := make(chan time.Duration, 1)
	ended := make(chan struct{})
	host(t, m, "auth", profile(func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := getProfile(ctx, t, m, m.Token(t, actortest.User()))
	wantCode(t, err, subjects.CodeTimeout)
	if got := receive(t, left); got > 300*time.Millisecond {
		t.Errorf("the handler has %s left", got)
	}
	receive(t, ended)
}

func TestFullEndpointRefusesAtOnce(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	release := make(chan struct{})
	var running, most atomic.Int64
	host(t, m, "auth", profile(func(context.Context) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		<-release
		return nil
	}))
	tokens := []string{m.Token(t, actortest.User()), m.Token(t, actortest.User())} // each user has half of the places
	conn := m.Conn(t, mesh.UserGateway)
	const places = subjects.DefaultConcurrency * 9
	answers := make(chan *nats.Msg, places+1)
	inbox := conn.NewInbox()
	if _, err := conn.ChanSubscribe(inbox+".*", answers); err != nil {
		t.Fatal(err)
	}
	for i := range places + 1 {
		err := conn.PublishMsg(&nats.Msg{
			Subject: subjects.GetUserProfile.Subject, Reply: fmt.Sprintf("%s.%d", inbox, i), Data: []byte("{}"),
			Header: nats.Header{mesh.HeaderAuthorization: {"Bearer " + tokens[i%2]}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	first := receive(t, answers) // no handler has returned, so it is the refusal of the last request
	if p := subjects.ParseProblem(first.Data); p.Code != subjects.CodeUnavailable || p.Reason != subjects.ReasonOverloaded || p.RetryAfter == 0 {
		t.Errorf("the refused request receives %v", p)
	}
	close(release)
	for range places {
		if m := receive(t, answers); m.Header.Get(mesh.HeaderErrorCode) != "" {
			t.Fatalf("an admitted request receives %s", m.Data)
		}
	}
	if got := most.Load(); got > subjects.DefaultConcurrency {
		t.Errorf("%d requests were handled concurrently, want at most %d", got, subjects.DefaultConcurrency)
	}
}

func TestStoppingWaitsForRunningRequests(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	running, release := make(chan struct{}), make(chan struct{})
	hosted := host(t, m, "auth", profile(func(ctx context.Context) error {
		close(running)
		<-release
		return ctx.Err()
	}))
	token := m.Token(t, actortest.User())
	answered := make(chan error, 1)
	go func() {
		_, err := getProfile(t.Context(), t, m, token)
		answered <- err
	}()
	receive(t, running)
	stopped := make(chan error, 1)
	go func() { stopped <- hosted.Stop(t) }()
	actortest.Eventually(t, "new calls are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := mesh.Call(ctx, m.Conn(t, mesh.UserGateway), subjects.HealthChecks["auth"], subjects.Empty{}, mesh.As{})
		return subjects.CodeOf(err) == subjects.CodeUnavailable
	})
	select {
	case err := <-stopped:
		t.Fatalf("it stopped while a request was running: %v", err)
	default:
	}
	close(release)
	if err := receive(t, answered); err != nil {
		t.Errorf("the running request receives %v", err)
	}
	if err := receive(t, stopped); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// An actor stops under load. Every request is answered, or fails at once because there is no responder.
func TestNoRequestIsLostOnStop(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	hosted := host(t, m, "auth", profile(succeed))
	token := m.Token(t, actortest.User())
	var calls sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		calls.Go(func() {
			for {
				_, err := getProfile(t.Context(), t, m, token)
				if subjects.CodeOf(err) == subjects.CodeUnavailable {
					return
				}
				if err != nil {
					t.Errorf("a call receives %v", err)
					return
				}
				answered.Add(1)
			}
		})
	}
	actortest.Eventually(t, "500 answers", func() bool { return answered.Load() > 500 })
	if err := hosted.Stop(t); err != nil {
		t.Error(err)
	}
	calls.Wait()
}

func TestAnswerIsReplayedUnderItsKey(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var runs atomic.Int64
	host(t, m, "notification", actors.Bind(subjects.SendNotification,
		func(_ context.Context, req subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
			n := runs.Add(1)
			if req.Body == "refuse" {
				return subjects.NotificationRef{}, subjects.Errorf(subjects.CodeConflict, "run %d", n)
			}
			return subjects.NotificationRef{NotificationID: fmt.Sprint(n), Status: "accepted"}, nil
		}))
	alice, bob := m.Token(t, actortest.User()), m.Token(t, actortest.User())
	send := func(token, key, body string) (string, bool, error) {
		t.Helper()
		data, err := json.Marshal(subjects.SendNotificationRequest{Category: "system", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := m.Conn(t, mesh.UserGateway).Forward(t.Context(), subjects.SendNotification.Subject, nats.Header{
			mesh.HeaderAuthorization: {"Bearer " + token}, mesh.HeaderIdempotencyKey: {key},
		}, data)
		if reply == nil {
			return "", false, err
		}
		return string(reply.Data), reply.Header.Get(mesh.HeaderIdempotencyReplayed) == "true", err
	}
	first, replayed, err := send(alice, "k", "hello")
	if err != nil || replayed {
		t.Fatalf("first: %s, %t, %v", first, replayed, err)
	}
	again, replayed, err := send(alice, "k", "hello")
	if err != nil || again != first || !replayed {
		t.Errorf("again: %s, %t, %v", again, replayed, err)
	}
	_, _, err = send(alice, "k", "other")
	wantCode(t, err, subjects.CodeIdempotencyMismatch)
	other, replayed, err := send(bob, "k", "hello")
	if err != nil || other == first || replayed {
		t.Errorf("another caller with the same key: %s, %t, %v", other, replayed, err)
	}
	_, stored, refused := send(alice, "r", "refuse")
	_, replayed, refusedAgain := send(alice, "r", "refuse")
	wantCode(t, refusedAgain, subjects.CodeConflict)
	if refused == nil || refusedAgain == nil || refused.Error() != refusedAgain.Error() || stored || !replayed {
		t.Errorf("the refusal (replayed: %t) %v is replayed (%t) as %v", stored, refused, replayed, refusedAgain)
	}
	_, _, err = send(alice, strings.Repeat("k", 256), "hello")
	wantCode(t, err, subjects.CodeInvalid)
}

func TestOperatorSeesTheService(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	if _, err := getProfile(t.Context(), t, m, m.Token(t, actortest.User())); err != nil {
		t.Fatal(err)
	}
	operator := m.Conn(t, mesh.UserOperator)
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO.auth", "$SRV.STATS.auth"} {
		reply, err := operator.Request(subject, nil, 5*time.Second)
		if err != nil || !strings.Contains(string(reply.Data), `"name":"auth"`) {
			t.Fatalf("%s: %s, %v", subject, reply.Data, err)
		}
	}
}

// TestStatsShowHowLongRequestsTookAndHowTheyFailed answers one request after 200 ms and fails another.
func TestStatsShowHowLongRequestsTookAndHowTheyFailed(t *testing.T) {
	t.Parallel()
	const took = 200 * time.Millisecond
	m := actortest.Start(t, actortest.Quiet())
	var calls atomic.Int64
	host(t, m, "auth", profile(func(ctx context.Context) error {
		if calls.Add(1) > 1 {
			return subjects.Errorf(subjects.CodeConflict, "no")
		}
		ctx, cancel := context.WithTimeout(ctx, took)
		defer cancel()
		<-ctx.Done()
		return nil
	}))
	token := m.Token(t, actortest.User())
	for range 2 {
		_, _ = getProfile(t.Context(), t, m, token)
	}
	reply, err := m.Conn(t, mesh.UserOperator).Request("$SRV.STATS.auth", nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(reply.Data, &stats); err != nil {
		t.Fatal(err)
	}
	for _, e := range stats.Endpoints {
		want := 0
		if e.Name == subjects.GetUserProfile.Describe().Method {
			want = 2
		}
		if e.NumRequests != want || e.NumErrors != want/2 || want > 0 && (e.ProcessingTime < took || e.AverageProcessingTime < took/2 || e.LastError != "conflict") {
			t.Errorf("the statistics are %+v", e)
		}
	}
}

// receive returns the next value of a channel.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	return actortest.Receive(t, "a value", from)
}

// TestCancelledCallEndsItsHandling: a service that gives a call up ends its handling.
func TestCancelledCallEndsItsHandling(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	reached, ended := make(chan struct{}, 1), make(chan error, 1)
	host(t, m, "integration", actors.Bind(subjects.ExecuteAction,
		func(ctx context.Context, _ subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
			reached <- struct{}{}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return subjects.ActionResult{}, ctx.Err()
		}))
	user := actortest.User()
	grants := m.Consent(t, user, subjects.ScopeWorkflowsExecute)
	as := mesh.As{Service: true, UserID: user, Grant: grants[subjects.ScopeWorkflowsExecute]}
	workflow := m.Conn(t, "workflow")
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := mesh.Call(ctx, workflow, subjects.ExecuteAction, subjects.ExecuteActionRequest{IntegrationID: "shop", Action: "pay"}, as)
			failed <- err
		}()
		receive(t, reached)
		cancel()
		wantCode(t, receive(t, failed), subjects.CodeTimeout)
		if err := receive(t, ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the handling ends with %v", err)
		}
	}
}
