package extension

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// heartbeat is the payload of a heartbeat, as JetStream has it for the progress of a message.
const heartbeat = "+WPI"

const (
	// answersPending and answerBytes bound the messages of an attempt that are not read yet.
	answersPending = 256
	answerBytes    = 1<<20 + 64<<10
	// signatureGrace is for how long after the deadline a signature is valid, for clocks that differ.
	signatureGrace = time.Minute
)

// Reasons for which an attempt is not awaited any more.
const (
	reasonCancelled = "cancelled"
	reasonTimeout   = "timeout"
)

// attemptError is the end of an attempt without an answer.
type attemptError struct {
	reason string
	text   string
}

func (e *attemptError) Error() string { return e.text }

// answeredError is an error that a copy answered with.
type answeredError struct {
	// status is its code, 500 unless that is an HTTP status from 400 to 599.
	status int
	text   string
}

func (e *answeredError) Error() string { return e.text }

// attempt makes one attempt of a call, once there is a slot for it.
func (c *Caller) attempt(ctx context.Context, call Call, f *Function, number int) (answer []byte, err error) {
	slots := c.slotsOf(call.Namespace)
	if !slots.Acquire(ctx, c.stopping, call.UserID, call.Priority) {
		return nil, errors.Join(ctx.Err(), errStopping)
	}
	defer slots.Release(call.UserID)
	inbox, err := newInbox(c.Conn, call.Namespace, answersPending, answerBytes)
	if err != nil {
		return nil, err
	}
	defer func() { _ = inbox.Unsubscribe() }()
	started := c.Now()
	claims := Claims{
		Issuer: c.issuer, Audience: subjects.FunctionSubject(f.Namespace, f.Name), UserID: call.UserID, ID: c.newID(), CallKey: call.Key,
		ExecutionID: call.ExecutionID, WorkflowID: call.WorkflowID, Version: f.Version,
	}
	err = call.Begin(ctx, f.Scope, func(ctx context.Context, grant mesh.Grant, began func()) error {
		claims.ConsentID, claims.Scope = grant.ConsentID, grant.Scope
		m, err := c.message(ctx, call, f, claims, started, number)
		if err != nil {
			return err
		}
		m.Reply = inbox.Subject
		if err := actors.Permit(ctx); err != nil {
			return err
		}
		if f.Safety == egress.WriteOnce {
			call.Sent()
		}
		if err := c.Conn.PublishMsg(m); err != nil {
			call.NotSent()
			return err
		}
		// Afterwards the server has it, so that a revocation that has returned cannot be followed by the call.
		err = c.Conn.FlushWithContext(ctx)
		began()
		if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			err = &attemptError{reasonCancelled, "the connection to NATS was lost while " + f.FullName() + " was called"}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := c.await(ctx, f, inbox)
	if errors.Is(err, errAbsent) {
		call.NotSent()
	}
	if reason := reasonOf(ctx, err); reason != "" {
		c.cancel(f, claims, reason)
	}
	if err != nil {
		return nil, err
	}
	return answerOf(m)
}

// reasonOf is the reason for which an attempt is not awaited any more after an error; empty if it has ended.
func reasonOf(ctx context.Context, err error) string {
	var ended *attemptError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return reasonTimeout
	case ctx.Err() != nil:
		return reasonCancelled
	case errors.As(err, &ended):
		return ended.reason
	}
	return ""
}

// message is the request of an attempt.
func (c *Caller) message(ctx context.Context, call Call, f *Function, claims Claims, at time.Time, number int) (*nats.Msg, error) {
	deadline := at.Add(f.Timeout)
	h := nats.Header{}
	mesh.Propagator.Inject(ctx, mesh.Carrier(h))
	claims.Trace = mesh.Carrier(h).Get("traceparent")
	claims.Deadline = deadline.UTC().Format(time.RFC3339Nano)
	claims.IssuedAt, claims.ExpiresAt = at.Unix(), deadline.Add(signatureGrace).Unix()
	signature, err := c.signer.sign(typeCall, claims, call.Arguments)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		mesh.HeaderCallKey: call.Key, mesh.HeaderCallID: claims.ID, mesh.HeaderCallAttempt: strconv.Itoa(number),
		mesh.HeaderDeadline: claims.Deadline, mesh.HeaderTimeout: strconv.FormatInt(f.Timeout.Milliseconds(), 10),
		mesh.HeaderUserID: call.UserID, mesh.HeaderGrantID: claims.ConsentID, mesh.HeaderGrantScope: claims.Scope,
		mesh.HeaderExecutionID: call.ExecutionID, mesh.HeaderFunctionVersion: f.Version, mesh.HeaderCallSignature: signature,
	} {
		h.Set(name, value)
	}
	return &nats.Msg{Subject: claims.Audience, Header: h, Data: call.Arguments}, nil
}

// await waits for the answer of an attempt. Each heartbeat extends the deadline.
func (c *Caller) await(ctx context.Context, f *Function, inbox *nats.Subscription) (*nats.Msg, error) {
	end := time.Now().Add(c.config.MaxDuration)
	heard, beats, dropped := time.Now(), 0, false
	for {
		silence := f.Timeout
		if f.Heartbeat > 0 {
			silence = f.Heartbeat
		}
		until := heard.Add(silence)
		if end.Before(until) {
			until = end
		}
		if dropped { // the answer may be among the messages that were not dropped
			until = time.Now().Add(askQuiet)
		}
		waiting, cancel := context.WithDeadline(ctx, until)
		m, err := inbox.NextMsgWithContext(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrNoResponders):
			return nil, errAbsent
		case errors.Is(err, nats.ErrSlowConsumer) && !dropped:
			dropped = true
			continue
		case errors.Is(err, nats.ErrSlowConsumer), errors.Is(err, context.DeadlineExceeded) && dropped:
			return nil, &attemptError{reasonCancelled, f.FullName() + " has sent more messages than can be read"}
		case errors.Is(err, context.DeadlineExceeded):
			return nil, c.silent(f, beats, !time.Now().Before(end))
		case err != nil:
			return nil, err
		case m.Header.Get(mesh.HeaderStream) != "":
			continue // not an answer: a stream has delivered it
		case string(m.Data) != heartbeat || m.Header.Get(mesh.HeaderErrorCode) != "":
			return m, nil
		}
		if beats++; beats > MaxHeartbeats {
			return nil, &attemptError{reasonCancelled, fmt.Sprintf("%s has sent more than %d heartbeats", f.FullName(), MaxHeartbeats)}
		}
		heard = time.Now()
	}
}

// silent is the error of an attempt that has not answered in time.
func (c *Caller) silent(f *Function, beats int, ended bool) error {
	switch {
	case ended:
		return &attemptError{reasonTimeout, fmt.Sprintf("%s took longer than %s", f.FullName(), c.config.MaxDuration)}
	case f.Heartbeat > 0:
		return &attemptError{reasonTimeout, fmt.Sprintf("%s has sent neither a heartbeat nor an answer for %s", f.FullName(), f.Heartbeat)}
	case beats > 0:
		return &attemptError{reasonTimeout, fmt.Sprintf("%s has not answered within %s of its last heartbeat", f.FullName(), f.Timeout)}
	}
	return &attemptError{reasonTimeout, fmt.Sprintf("%s has not answered within %s", f.FullName(), f.Timeout)}
}

// cancellation is the payload of a message that an attempt is not awaited any more.
type cancellation struct {
	CallKey string `json:"call_key"`
	CallID  string `json:"call_id"`
	Reason  string `json:"reason"`
}

// cancel tells the copies that an attempt is not awaited any more. It may be lost.
func (c *Caller) cancel(f *Function, claims Claims, reason string) {
	data, err := subjects.Encode(cancellation{CallKey: claims.CallKey, CallID: claims.ID, Reason: reason})
	if err != nil {
		return
	}
	claims.Audience = subjects.CancelFunctionSubject(f.Namespace, f.Name)
	claims.IssuedAt, claims.ExpiresAt = c.Now().Unix(), c.Now().Add(signatureGrace).Unix()
	signature, err := c.signer.sign(typeCancel, claims, data)
	if err != nil {
		return
	}
	_ = c.Conn.PublishMsg(&nats.Msg{Subject: claims.Audience, Data: data, Header: nats.Header{
		mesh.HeaderCallKey: {claims.CallKey}, mesh.HeaderCallID: {claims.ID}, mesh.HeaderCallSignature: {signature},
	}})
}

// answerOf returns the payload of an answer, or the error that it is.
func answerOf(m *nats.Msg) ([]byte, error) {
	code := m.Header.Get(mesh.HeaderErrorCode)
	if code == "" && m.Header.Get(mesh.HeaderError) == "" {
		return m.Data, nil
	}
	e := &answeredError{status: http.StatusInternalServerError, text: text(m.Header.Get(mesh.HeaderError), MaxErrorText)}
	if status, err := strconv.Atoi(code); err == nil && status >= 400 && status <= 599 {
		e.status = status
	} else if code != "" {
		e.text = text(code, 64) + ": " + e.text
	}
	return nil, e
}

// notStarted reports whether the extension says that it has not started: it is asked too often, or cannot work now.
func (e *answeredError) notStarted() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable
}

// mayRepeat reports whether a call can be made again after the error of an attempt.
func mayRepeat(err error, f *Function) bool {
	repeatable := f != nil && f.Safety != egress.WriteOnce
	var answered *answeredError
	var ended *attemptError
	switch {
	case errors.As(err, &answered):
		return answered.notStarted() || answered.status >= http.StatusInternalServerError && repeatable
	case errors.As(err, &ended):
		return repeatable
	}
	return false
}

// absent is the fault of a call whose function no copy has served for a time.
func absent(call Call, waited time.Duration) error {
	fault := machine.NewError(machine.TypeCommunication, fmt.Sprintf(
		"no copy of the extension %q has served %s.%s for %s", call.Namespace, call.Namespace, call.Name, waited.Round(time.Millisecond)))
	fault.Status = http.StatusServiceUnavailable
	return errors.Join(errAbsent, fault)
}

// changed is the fault of a call whose function is served in other versions only.
func changed(call Call, served *Function) error {
	fault := machine.NewError(machine.TypeConfiguration, fmt.Sprintf(
		"%s has changed since the workflow was stored: the workflow was checked with its version %s, the extension serves %s; store the workflow again",
		served.FullName(), call.Version, served.Version))
	fault.Status = http.StatusConflict
	return fault
}

// asFault turns the last error of a call, which has waited for a copy for a time, into one that the workflow can catch.
func asFault(call Call, f *Function, err error, waited time.Duration) error {
	var answered *answeredError
	var ended *attemptError
	var other *changedError
	switch {
	case errors.As(err, &other):
		return changed(call, other.served)
	case errors.Is(err, errAbsent):
		return absent(call, waited)
	case errors.As(err, &answered):
		kind := machine.TypeCommunication
		switch answered.status {
		case http.StatusUnauthorized:
			kind = machine.TypeAuthentication
		case http.StatusForbidden:
			kind = machine.TypeAuthorization
		case http.StatusRequestTimeout:
			kind = machine.TypeTimeout
		}
		fault := machine.NewError(kind, f.FullName()+": "+answered.text)
		fault.Status = answered.status
		return fault
	case errors.As(err, &ended):
		kind := machine.TypeTimeout
		if ended.reason != reasonTimeout {
			kind = machine.TypeCommunication
		}
		fault := machine.NewError(kind, ended.text)
		if f.Safety == egress.WriteOnce {
			fault.Outcome = machine.OutcomeUnknown
		}
		return fault
	}
	return err
}
