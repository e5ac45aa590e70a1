package kv

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// released is the token that Close appends to a lease's key. The marker of a deletion keeps its subject in the
// stream's listing until it expires, and the listing does not tell a marker from a value; this second key does.
const released = "closed"

// leaseRecord is a lease's value, for operators.
type leaseRecord struct {
	LengthMS int64     `json:"length_ms"`
	Since    time.Time `json:"since"`
}

// LeaseOption is an option of HoldLease.
type LeaseOption func(*Lease)

// OnRejoin has fn called after the key is written and before Valid becomes true: once at the start, and again
// whenever the lease had lapsed. It is the place to catch up (Map.Sync) with what was decided while nobody
// waited for this process. An error, or fn taking longer than half the length, leaves the lease invalid, and it is
// tried again at the next renewal.
func OnRejoin(fn func(context.Context) error) LeaseOption {
	return func(l *Lease) { l.rejoin = fn }
}

// LeaseClock has the lease measure time by now instead of time.Now.
func LeaseClock(now func() time.Time) LeaseOption {
	return func(l *Lease) { l.now = now }
}

// Lease keeps one key alive. It says "alive", never "alone": two holders of one key would both be valid.
type Lease struct {
	js     jetstream.JetStream
	spec   Spec
	key    string
	length time.Duration
	now    func() time.Time
	rejoin func(context.Context) error
	since  time.Time

	// renewed is when the last successful renewal was sent; nil before the first, and after Close.
	renewed atomic.Pointer[time.Time]
	cancel  context.CancelFunc
	done    chan struct{}
	closing sync.Once
}

// HoldLease writes key and keeps it alive by writing it anew every quarter of length, until Close. It returns once the
// lease is valid, or why it is not; ctx bounds that alone. The bucket must be durable, with a TTL no shorter than length, no
// markers and no more than one revision a key (ErrInvalidArgument otherwise), so that Live is exact. It needs the
// right to publish the key, nothing else.
func HoldLease(
	ctx context.Context, js jetstream.JetStream, spec Spec, key string, length time.Duration, options ...LeaseOption,
) (*Lease, error) {
	doing := "taking a lease in " + spec.Name
	if err := checkLease(spec, key, length); err != nil {
		return nil, translate(doing, err)
	}
	l := &Lease{
		js: js, spec: spec, key: key, length: length, now: time.Now,
		rejoin: func(context.Context) error { return nil },
		done:   make(chan struct{}),
	}
	for _, option := range options {
		option(l)
	}
	l.since = l.now()
	if err := l.renew(ctx); err != nil {
		return nil, translate(doing, err)
	}
	life, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go l.run(life)
	return l, nil
}

func checkLease(spec Spec, key string, length time.Duration) error {
	if spec.Storage != File || spec.TTL <= 0 || spec.MarkerTTL != 0 || spec.History > 1 {
		return fmt.Errorf("%w: bucket %s is not made for leases", ErrInvalidArgument, spec.Name)
	}
	if length <= 0 || length > spec.TTL {
		return fmt.Errorf("%w: a lease of %s in a bucket whose keys live %s", ErrInvalidArgument, length, spec.TTL)
	}
	if key == released || strings.HasSuffix(key, "."+released) {
		return fmt.Errorf("%w: %q ends with the token of released leases", ErrInvalidKey, key)
	}
	if err := checkKey(key); err != nil {
		return err
	}
	return checkWriter(spec, key)
}

// Valid reports whether the key is certainly alive at the server: true until four fifths of length after the last
// successful renewal was sent, by this machine's clocks, whichever ran further (a suspended machine's monotonic clock stands still,
// a set wall clock jumps). The last fifth is for clocks that run apart and for what was begun while it was true.
func (l *Lease) Valid() bool {
	renewed := l.renewed.Load()
	return renewed != nil && elapsed(l.now(), *renewed) < l.length-l.length/5
}

// Close ends the lease and removes the key; Valid is false before it begins. When NATS cannot be reached, the error is
// ErrUnavailable and the key ends by itself within the bucket's TTL. A second Close does nothing.
func (l *Lease) Close(ctx context.Context) (err error) {
	l.closing.Do(func() {
		l.cancel()
		<-l.done
		l.renewed.Store(nil)
		// In this order: the second key must outlive the first one's marker.
		if _, err = publish(ctx, l.js, l.spec, l.key, purge(), write{}); err == nil {
			_, err = publish(ctx, l.js, l.spec, l.key+"."+released, &nats.Msg{Header: nats.Header{}}, write{})
		}
		err = translate("releasing a lease in "+l.spec.Name, err)
	})
	return err
}

// run renews until life ends: every quarter of length, and sooner after a failure.
func (l *Lease) run(life context.Context) {
	defer close(l.done)
	timer := time.NewTimer(l.length / 4)
	defer timer.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-timer.C:
		}
		err := l.renew(life)
		wait := l.length / 4
		if err != nil {
			wait = l.length / 20
		}
		timer.Reset(wait)
	}
}

// renew writes the key once. After a lapse the lease becomes valid only when rejoin is done.
func (l *Lease) renew(ctx context.Context) error {
	data, err := json.Marshal(leaseRecord{LengthMS: l.length.Milliseconds(), Since: l.since})
	if err != nil {
		return err
	}
	writing, cancel := context.WithTimeout(ctx, l.length/2)
	defer cancel()
	lapsed := !l.Valid()
	sent := l.now()
	if _, err := publish(writing, l.js, l.spec, l.key, &nats.Msg{Data: data, Header: nats.Header{}}, write{}); err != nil {
		return err
	}
	// The lease may have lapsed while the renewal was under way.
	if lapsed || !l.Valid() {
		joining, cancel := context.WithTimeout(ctx, l.length/2)
		defer cancel()
		if err := l.rejoin(joining); err != nil {
			return fmt.Errorf("rejoining: %w", err)
		}
	}
	l.renewed.Store(&sent)
	return nil
}

// elapsed is how much time passed since then, by the monotonic or the wall clock, whichever says more: never less than
// what truly passed unless both err.
func elapsed(now, then time.Time) time.Duration {
	return max(now.Sub(then), time.Duration(now.UnixNano()-then.UnixNano()))
}

// Live lists the keys that match filter and are held by a lease now, sorted. One request, which the stream's leader
// answers from its own state: a lease whose HoldLease returned before the call is in the list, one whose Close returned
// is not, and one whose holder died is until its TTL ends (the server may be late with that, never early).
// It needs $JS.API.STREAM.INFO.
func Live(ctx context.Context, js jetstream.JetStream, spec Spec, filter string) ([]string, error) {
	doing := "listing leases in " + spec.Name
	if err := checkFilter(filter); err != nil {
		return nil, translate(doing, err)
	}
	subjects, err := listSubjects(ctx, js, spec)
	if err != nil {
		return nil, translate(doing, err)
	}
	prefix := spec.subject("")
	live := []string{}
	for subject := range subjects {
		key := strings.TrimPrefix(subject, prefix)
		if _, gone := subjects[subject+"."+released]; gone || strings.HasSuffix(key, "."+released) || !matches(filter, key) {
			continue
		}
		live = append(live, key)
	}
	slices.Sort(live)
	return live, nil
}

// listSubjects asks the leader for the bucket's subjects and how many messages each has.
func listSubjects(ctx context.Context, js jetstream.JetStream, spec Spec) (map[string]uint64, error) {
	if err := reachable(js); err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, js.Options().DefaultTimeout)
		defer cancel()
	}
	request, err := json.Marshal(map[string]string{"subjects_filter": spec.subject(">")})
	if err != nil {
		return nil, err
	}
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.INFO."+spec.Stream(), request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Total int                 `json:"total"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("decoding stream info: %w", err)
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	if answer.Total > len(answer.State.Subjects) {
		return nil, fmt.Errorf("%d keys are more than one answer holds", answer.Total)
	}
	return answer.State.Subjects, nil
}
