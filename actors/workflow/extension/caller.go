package extension

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

// absentPoll is the interval at which a call looks for a copy that serves its function.
const absentPoll = 250 * time.Millisecond

// Call is a call of a function.
type Call struct {
	// Namespace and Name name the function, Version is the version that the definition was checked with.
	Namespace, Name, Version string
	// Arguments is the payload: JSON. Check returns an error if the arguments do not match the function.
	Arguments []byte
	Check     func(f *Function) error
	// Key is the call key, the same for every attempt and after restarts.
	Key                             string
	ExecutionID, WorkflowID, UserID string
	Priority                        int
	// Repeated: an earlier owner of the execution may have made the call.
	Repeated bool
	// Begin lets one attempt begin under the user's consent to a scope, or refuses it. start gets that consent, calls started once the
	// attempt cannot be held back any more, and returns.
	Begin func(ctx context.Context, scope string, start func(ctx context.Context, grant mesh.Grant, started func()) error) error
	// Sent is called before the call may have an effect that must not happen twice, NotSent when it is known to have had none.
	Sent, NotSent func()
}

// Caller calls the functions of extensions.
type Caller struct {
	*Registry

	config   Config
	newID    func() string
	issuer   string
	signer   *signer
	retries  int
	pause    time.Duration
	stopping <-chan struct{}
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu sync.Mutex
	// slots bounds the calls under way, by extension.
	slots map[string]*fair.Semaphore
}

// CallerOptions are what a Caller works with besides its registry; all are required.
type CallerOptions struct {
	Metrics prometheus.Registerer
	NewID   func() string
	// Issuer is the issuer of weft's tokens, which the signatures name.
	Issuer string
	// Retries and RetryDelay are how often, and after what pause, a call is made again that may be.
	Retries    int
	RetryDelay time.Duration
	// Stopping is closed when the process begins to stop: no further attempt is made then.
	Stopping <-chan struct{}
}

// NewCaller returns a caller of the functions that a registry knows.
func NewCaller(r *Registry, o CallerOptions) (*Caller, error) {
	signer, err := newSigner(r.Conn)
	if err != nil {
		return nil, err
	}
	c := &Caller{
		Registry: r, config: r.Config, newID: o.NewID, issuer: o.Issuer, signer: signer,
		retries: o.Retries, pause: o.RetryDelay, stopping: o.Stopping, slots: map[string]*fair.Semaphore{},
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_extension_calls_total", Help: "Calls of functions of extensions, by extension and result: completed, failed, refused, " +
				"absent, timeout, abandoned.",
		}, []string{"extension", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workflow_extension_call_duration_seconds", Help: "Duration of a call of a function of an extension, its retries included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 11),
		}, []string{"extension"}),
	}
	o.Metrics.MustRegister(c.calls, c.duration)
	return c, nil
}

// Keys returns the public keys that verify calls.
func (c *Caller) Keys() []subjects.ExtensionKey { return []subjects.ExtensionKey{c.signer.jwk()} }

// changedError says that the extension serves only other versions of a function.
type changedError struct{ served *Function }

func (e *changedError) Error() string { return e.served.FullName() + " is served in another version" }

// Is makes it an errAbsent too.
func (e *changedError) Is(target error) bool { return target == errAbsent }

// Errors that only this package tells apart.
var (
	// errAbsent: no copy serves the function; the call was not delivered.
	errAbsent = errors.New("no copy of the extension serves the function")
	// errStopping: the process is stopping.
	errStopping = errors.New("the process is stopping")
)

// Do makes a call: it waits for a copy that serves the function, and repeats attempts that had no effect or may be repeated. It returns the
// answer, which it has not checked. Its error is a *machine.Error, which the workflow can catch, a *subjects.Error, or the end of ctx.
func (c *Caller) Do(ctx context.Context, call Call) (answer []byte, f *Function, err error) {
	begin := time.Now()
	var p progress
	defer func() { c.observe(ctx, call, p.attempts, time.Since(begin), err) }()
	for {
		if answer, f, err = c.try(ctx, call, &p); err == nil {
			return answer, f, nil
		}
		if ctx.Err() != nil {
			return nil, f, ctx.Err()
		}
		pause, final := c.next(call, f, err, &p)
		if final != nil {
			return nil, f, final
		}
		if err := wait.Until(ctx, c.stopping, pause); err != nil || c.isStopping() {
			return nil, f, errors.Join(err, errStopping)
		}
	}
}

// progress is what a call has taken until now: the attempts that were delivered, and the time that it has waited for a copy.
type progress struct {
	attempts int
	waited   time.Duration
	checked  bool
}

// try makes one attempt.
func (c *Caller) try(ctx context.Context, call Call, p *progress) ([]byte, *Function, error) {
	f, err := c.find(ctx, call, p.waited > 0)
	if err != nil {
		return nil, f, err
	}
	if !p.checked {
		if err := c.check(call, f); err != nil {
			return nil, f, err
		}
		p.checked = true
	}
	answer, err := c.attempt(ctx, call, f, p.attempts+1)
	if !notSent(err) {
		p.attempts++
	}
	return answer, f, err
}

// next returns the pause before the next attempt after an error, or the error that the call ends with.
func (c *Caller) next(call Call, f *Function, err error, p *progress) (pause time.Duration, final error) {
	switch {
	case notSent(err) && p.waited >= c.config.MaxWait:
		return 0, asFault(call, f, err, p.waited)
	case notSent(err):
		pause = min(absentPoll, c.config.MaxWait-p.waited)
		p.waited += pause
		return pause, nil
	case p.attempts > c.retries || !mayRepeat(err, f):
		return 0, asFault(call, f, err, p.waited)
	}
	return c.pause, nil
}

// notSent reports whether an attempt was not sent for a reason that passes: no copy serves the function, or what an attempt needs cannot be
// found out.
func notSent(err error) bool {
	var coded *subjects.Error
	return errors.Is(err, errAbsent) || errors.As(err, &coded) && subjects.Transient(coded)
}

// IsStopping reports whether a call was given up because the process is stopping.
func IsStopping(err error) bool { return errors.Is(err, errStopping) }

func (c *Caller) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// find returns the version of the function that a call was checked with. It need not be known that a copy runs: the call finds out, because
// a busy copy may not have answered. The error is errAbsent, or an errChanged, while the version is not served, and a fault if the extension
// is not enrolled any more. What is known is used if it is not older than two refreshes, unless absent.
func (c *Caller) find(ctx context.Context, call Call, absent bool) (*Function, error) {
	ages := []time.Duration{2 * refreshEvery, absentPoll}
	if absent {
		ages = ages[1:]
	}
	var state *State
	for _, age := range ages {
		var err error
		if state, err = c.Find(ctx, call.Namespace, age); err != nil {
			return nil, err
		}
		if state == nil {
			return nil, machine.NewError(machine.TypeConfiguration, fmt.Sprintf("the extension %q is not enrolled any more", call.Namespace))
		}
		if f := state.Function(call.Name, call.Version); f != nil {
			return f, f.callable()
		}
	}
	if served := state.Function(call.Name, ""); served != nil {
		return nil, &changedError{served}
	}
	return nil, errAbsent
}

// check refuses what must not or cannot be sent.
func (c *Caller) check(call Call, f *Function) error {
	if call.Repeated && f.Safety == egress.WriteOnce {
		return &subjects.Error{
			Code: subjects.CodeConflict, Detail: "the outcome of " + f.FullName() + " is unknown, and it must not be repeated",
			Fields: []subjects.FieldError{{Field: "call_key", Message: "may have been done already", Code: subjects.FieldUnknownOutcome}},
		}
	}
	if limit := c.Conn.MaxPayload(); int64(len(call.Arguments)) > limit {
		return machine.NewError(machine.TypeValidation, fmt.Sprintf("the arguments have %d bytes, the limit is %d", len(call.Arguments), limit))
	}
	return call.Check(f)
}

// slotsOf returns the slots of an extension.
func (c *Caller) slotsOf(namespace string) *fair.Semaphore {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[namespace]
	if s == nil {
		s = &fair.Semaphore{Limit: c.config.MaxConcurrent, PerUser: max(1, c.config.MaxConcurrent*3/4)}
		c.slots[namespace] = s
	}
	return s
}

// observe counts and logs a call.
func (c *Caller) observe(ctx context.Context, call Call, attempts int, took time.Duration, err error) {
	result := resultOf(ctx, err)
	c.calls.WithLabelValues(call.Namespace, result).Inc()
	c.duration.WithLabelValues(call.Namespace).Observe(took.Seconds())
	fields := []zap.Field{
		zap.String("function", call.Namespace+"."+call.Name), zap.String("result", result), zap.Int("attempts", attempts), zap.Duration("took", took),
		zap.String("execution_id", call.ExecutionID), zap.String("call_key", call.Key), zap.String("trace_id", mesh.TraceID(ctx)),
	}
	c.Log.Info("called a function of an extension", fields...)
}

// resultOf is the label of a call's result.
func resultOf(ctx context.Context, err error) string {
	var fault *machine.Error
	var coded *subjects.Error
	switch {
	case err == nil:
		return "completed"
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, errStopping), errors.Is(err, nats.ErrConnectionClosed):
		return "abandoned"
	case errors.Is(err, errAbsent):
		return "absent"
	case ctx.Err() != nil, errors.As(err, &fault) && fault.Type == machine.TypeTimeout:
		return "timeout"
	case errors.As(err, &coded), errors.As(err, &fault) && (fault.Type == machine.TypeConfiguration || fault.Type == machine.TypeValidation):
		return "refused"
	}
	return "failed"
}
