package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

var (
	function = &machine.Call{ID: "1", Key: "k", Kind: machine.CallFunction, Function: "svc.put"}
	notify   = &machine.Call{ID: "1", Key: "k", Kind: machine.CallFunction, Function: machine.FunctionNotify}
	child    = &machine.Call{ID: "1", Key: "k", Kind: machine.CallWorkflow, Workflow: &machine.ChildWorkflow{Await: true}}
	detached = &machine.Call{ID: "1", Key: "k", Kind: machine.CallWorkflow, Workflow: &machine.ChildWorkflow{}}
	emit     = &machine.Call{ID: "1", Key: "k", Kind: machine.CallEmit}
	get      = &machine.Call{ID: "1", Key: "k", Kind: machine.CallHTTP, HTTP: &machine.HTTPRequest{Method: "GET"}}
	post     = &machine.Call{ID: "1", Key: "k", Kind: machine.CallHTTP, HTTP: &machine.HTTPRequest{Method: "POST"}}
	echo     = &machine.Call{ID: "1", Key: "k", Kind: machine.CallFunction, Function: machine.FunctionEcho}
)

// runnerTest is an activity runner with what it makes of calls.
type runnerTest struct {
	activityRunner
	mu       sync.Mutex
	attempts []time.Time
	labels   []string
}

// onRunner runs a test with a runner whose calls are made by dispatch, which gets the number of the attempt.
func onRunner(t *testing.T, dispatch func(ctx context.Context, attempt int) (any, error), test func(t *testing.T, r *runnerTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &runnerTest{}
		r.activityRunner = activityRunner{
			unblocked: func(context.Context, <-chan struct{}, string) bool { return true },
			slots:     fair.Semaphore{Limit: 2}, timeout: time.Minute, retries: 3, retryDelay: 5 * time.Second, now: time.Now, stopping: make(chan struct{}),
			observe: func(result string, _ time.Duration) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.labels = append(r.labels, result)
			},
			dispatch: func(ctx context.Context, _ Row, _ *machine.Call, _ bool) (any, error) {
				r.mu.Lock()
				r.attempts = append(r.attempts, time.Now())
				attempt := len(r.attempts)
				r.mu.Unlock()
				return dispatch(ctx, attempt)
			},
		}
		test(t, r)
		if r.slots.Free() != 2 || r.slots.Queued() != 0 {
			t.Errorf("%d slots are free, %d calls queued", r.slots.Free(), r.slots.Queued())
		}
	})
}

func unavailable() error { return &subjects.Error{Code: subjects.CodeUnavailable} }

// TestRetriedCalls: a call is made again only where that cannot have its effect twice.
func TestRetriedCalls(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call     *machine.Call
		err      error
		attempts int
	}{
		"no responders":                 {function, nats.ErrNoResponders, 4},
		"not connected":                 {post, &egress.Error{Kind: egress.KindConnect}, 1},
		"connected, not answered":       {post, &egress.Error{Kind: egress.KindConnect, Sent: true}, 1},
		"sent":                          {post, &egress.Error{Kind: egress.KindTransport, Sent: true}, 1},
		"blocked":                       {get, &egress.Error{Kind: egress.KindBlocked}, 1},
		"unavailable action":            {function, unavailable(), 1},
		"action that was not started":   {function, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonNotStarted}, 4},
		"unavailable notification":      {notify, unavailable(), 4},
		"notification without answer":   {notify, &subjects.Error{Code: subjects.CodeTimeout}, 4},
		"invalid notification":          {notify, &subjects.Error{Code: subjects.CodeInvalid}, 1},
		"rate-limited notification":     {notify, &subjects.Error{Code: subjects.CodeRateLimited}, 4},
		"rate-limited start of a child": {child, &subjects.Error{Code: subjects.CodeRateLimited}, 4},
		"rate-limited event":            {emit, &subjects.Error{Code: subjects.CodeRateLimited}, 4},
		"unavailable start":             {detached, unavailable(), 4},
		"error of the workflow":         {function, machine.NewError(machine.TypeRuntime, "x"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onRunner(t, func(context.Context, int) (any, error) { return nil, test.err }, func(t *testing.T, r *runnerTest) {
				start := time.Now()
				result := r.run(t.Context(), Row{}, test.call, false)
				if len(r.attempts) != test.attempts || time.Since(start) != time.Duration(test.attempts-1)*r.retryDelay {
					t.Errorf("%d attempts in %s, want %d", len(r.attempts), time.Since(start), test.attempts)
				}
				if result.abandoned || result.external || r.labels[0] != "faulted" || result.child != awaitedChild(test.call) {
					t.Errorf("the result is %+v, counted as %v", result, r.labels)
				}
			})
		})
	}
}

// TestCallResults: what a call's end is to its execution.
func TestCallResults(t *testing.T) {
	t.Parallel()
	unknown := &subjects.Error{Code: subjects.CodeConflict, Fields: []subjects.FieldError{{Code: subjects.FieldUnknownOutcome}}}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		call     *machine.Call
		err      error
		repeated bool
		want     callResult
		label    string
	}{
		"output":             {call: function, want: callResult{id: "1", outcome: machine.CallDone("1", "out", now)}, label: "completed"},
		"external":           {call: function, err: ErrExternal, want: callResult{id: "1", external: true}},
		"child":              {call: child, err: ErrExternal, want: callResult{id: "1", external: true, child: DerivedID("k#1")}},
		"unknown":            {call: function, err: unknown, repeated: true, want: callResult{id: "1", outcome: machine.CallUnknown("1", now)}, label: "faulted"},
		"unknown, not again": {call: function, err: unknown, want: callResult{id: "1", outcome: machine.CallFault("1", FaultOf(unknown), now)}, label: "faulted"},
		"closed connection":  {call: function, err: nats.ErrConnectionClosed, want: callResult{id: "1", abandoned: true}, label: "abandoned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onRunner(t, func(context.Context, int) (any, error) { return "out", test.err }, func(t *testing.T, r *runnerTest) {
				r.now = func() time.Time { return now }
				got := r.run(t.Context(), Row{}, test.call, test.repeated)
				if !sameResult(got, test.want) || r.labels[0] != test.label {
					t.Errorf("%+v, counted as %q, want %+v", got, r.labels, test.want)
				}
			})
		})
	}
}

// sameResult compares results by what a machine makes of their outcomes.
func sameResult(a, b callResult) bool {
	same := func(o machine.Outcome) string {
		x, events := machine.Start(simulated["steps"].def, "x", nil, time.Time{}, machine.Environment{})
		for range 2 { // the first outcome may be ignored until the call's start is recorded
			events = append(events, x.Handle(machine.CallStarted("1", time.Time{}))...)
			events = append(events, x.Handle(o)...)
		}
		return joinEvents(encodeEvents(events))
	}
	return a.id == b.id && a.external == b.external && a.child == b.child && a.abandoned == b.abandoned && same(a.outcome) == same(b.outcome)
}

// TestCallTimeout: the step timeout bounds all attempts, and is the specification's error.
func TestCallTimeout(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context, _ int) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	fail := func(context.Context, int) (any, error) { return nil, nats.ErrNoResponders }
	for name, dispatch := range map[string]func(context.Context, int) (any, error){"while it is made": hang, "between attempts": fail} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onRunner(t, dispatch, func(t *testing.T, r *runnerTest) {
				r.timeout, r.retries = 12*time.Second, 100
				start := time.Now()
				result, err := r.attempt(t.Context(), Row{}, function, false, &callSlot{r: &r.activityRunner, slow: func() {}})
				var fault *machine.Error
				if result != nil || !errors.As(err, &fault) || fault.Type != machine.TypeTimeout || !strings.Contains(fault.Detail, "12s") {
					t.Errorf("the call ends with %v, %v", result, err)
				}
				if took := time.Since(start); took != 12*time.Second {
					t.Errorf("after %s", took)
				}
			})
		})
	}
}

// TestAbandonedCalls: a process that stops makes no more attempts, and one that lost the partition records nothing.
func TestAbandonedCalls(t *testing.T) {
	t.Parallel()
	onRunner(t, func(context.Context, int) (any, error) { return nil, nats.ErrNoResponders }, func(t *testing.T, r *runnerTest) {
		stopping := make(chan struct{})
		r.stopping = stopping
		time.AfterFunc(2*time.Second, func() { close(stopping) })
		if result := r.run(t.Context(), Row{}, function, false); !result.abandoned || len(r.attempts) != 1 {
			t.Errorf("%+v after %d attempts", result, len(r.attempts))
		}
		if result := r.run(t.Context(), Row{}, function, false); !result.abandoned || len(r.attempts) != 1 {
			t.Errorf("after the stop: %+v after %d attempts", result, len(r.attempts))
		}
	})
	onRunner(t, func(ctx context.Context, _ int) (any, error) {
		<-ctx.Done()
		return "out", nil
	}, func(t *testing.T, r *runnerTest) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if result := r.run(ctx, Row{}, function, false); !result.abandoned || r.labels[0] != "abandoned" {
			t.Errorf("%+v, counted as %v", result, r.labels)
		}
	})
}

// TestCallSlots: no more calls are made at once than there are slots, and users take turns.
func TestCallSlots(t *testing.T) {
	t.Parallel()
	onRunner(t, func(context.Context, int) (any, error) {
		_ = wait.Until(context.Background(), nil, time.Second)
		return nil, nil
	}, func(t *testing.T, r *runnerTest) {
		start := time.Now()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { r.run(t.Context(), Row{UserID: "ada"}, function, false) })
		}
		all.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("five calls of a second with two slots took %s", took)
		}
	})
}

func TestNeedsStartRecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		call *machine.Call
		want bool
	}{
		{function, true}, {post, true}, {get, false}, {notify, false}, {child, false}, {emit, false},
		{&machine.Call{Kind: machine.CallOpenAPI}, true},
		{&machine.Call{Kind: machine.CallHTTP, HTTP: &machine.HTTPRequest{Method: "PATCH"}}, true},
		{&machine.Call{Kind: machine.CallHTTP, HTTP: &machine.HTTPRequest{Method: "PUT"}}, false},
	} {
		if got := needsStartRecord(test.call); got != test.want {
			t.Errorf("%s %s: %v, want %v", test.call.Kind, test.call.Function, got, test.want)
		}
	}
	if !hasNoEffect(echo) || hasNoEffect(function) || hasNoEffect(&machine.Call{Kind: machine.CallFunction, Function: machine.FunctionEcho, Fault: &machine.Error{}}) {
		t.Error("only an echo that can be made has no effect")
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	e := &Engine{Options: Options{Config: Config{MaxResult: 10}}}
	for data, want := range map[string]any{"": nil, "null": nil, `"a"`: "a", "true": true} {
		if got, err := e.Output([]byte(data)); err != nil || got != want {
			t.Errorf("%q is %v, %v", data, got, err)
		}
	}
	for data, kind := range map[string]string{`"0123456789"`: machine.TypeRuntime, `{`: machine.TypeCommunication} {
		var fault *machine.Error
		if _, err := e.Output([]byte(data)); !errors.As(err, &fault) || fault.Type != kind {
			t.Errorf("%q: %v", data, err)
		}
	}
}
