package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// leaseRecord is the value of a lease, for operators.
type leaseRecord struct {
	LengthMS int64     `json:"length_ms"`
	Since    time.Time `json:"since"`
}

// LeaseOption is an option of HoldLease.
type LeaseOption func(*Lease)

// OnRejoin sets a function that is called after the key is written and before Valid becomes true: once at the start, and again
// whenever the lease had expired. There the process can catch up (Map.Sync) with decisions that did not wait for it. If it returns
// an error or takes longer than half the lease's length, the lease stays invalid and the next renewal tries again.
func OnRejoin(fn func(context.Context) error) LeaseOption {
	return func(l *Lease) { l.rejoin = fn }
}

// LeaseClock replaces time.Now.
func LeaseClock(now func() time.Time) LeaseOption {
	return func(l *Lease) { l.now = now }
}

// Lease keeps one key alive. It says that its holder is alive, not that it is alone: two holders of one key would both be valid.
type Lease struct {
	source

	spec   Spec
	key    string
	length time.Duration
	now    func() time.Time
	rejoin func(context.Context) error
	since  time.Time
	// last is the revision of the last renewal; of one renewal at a time.
	last uint64

	// renewed is when the last successful renewal was sent; nil before the first one and after Close.
	renewed atomic.Pointer[time.Time]
	cancel  context.CancelFunc
	done    chan struct{}
	closing sync.Once
}

// HoldLease writes key and renews it every quarter of length, until Close. It returns when the lease is valid or has failed; ctx
// bounds only that. The bucket must be on disk, with a TTL of at least length (otherwise ErrInvalidArgument), so that Live is exact.
func HoldLease(
	ctx context.Context, js JetStream, spec Spec, key string, length time.Duration, options ...LeaseOption,
) (*Lease, error) {
	doing := "taking a lease in " + spec.Name
	if err := checkLease(spec, key, length); err != nil {
		return nil, translate(doing, err)
	}
	from, err := openSource(ctx, js, spec.Stream(), spec.authorOf)
	if err != nil {
		return nil, translate(doing, err)
	}
	l := &Lease{
		source: from, spec: spec, key: key, length: length, now: time.Now,
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
	lifetime, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go l.run(lifetime)
	return l, nil
}

func checkLease(spec Spec, key string, length time.Duration) error {
	if spec.Storage != File || spec.TTL <= 0 {
		return fmt.Errorf("%w: bucket %s cannot hold leases", ErrInvalidArgument, spec.Name)
	}
	if length <= 0 || length > spec.TTL {
		return fmt.Errorf("%w: lease length %s in a bucket whose keys expire after %s", ErrInvalidArgument, length, spec.TTL)
	}
	if err := checkKey(key); err != nil {
		return err
	}
	return checkWriter(spec, key)
}

// Valid reports whether the key is certainly alive at the server: until four fifths of length after the last successful renewal
// was sent. Time is measured by the monotonic and the wall clock, whichever advanced more, because the monotonic clock stops
// while a machine is suspended and the wall clock may be set. The last fifth covers clock drift and work that began while
// the lease was valid.
func (l *Lease) Valid() bool {
	renewed := l.renewed.Load()
	return renewed != nil && elapsed(l.now(), *renewed) < l.length-l.length/5
}

// Close ends the lease and deletes the key; Valid is false from then on. If NATS cannot be reached, the error is ErrUnavailable
// and the key expires within the bucket's TTL. A second Close does nothing.
func (l *Lease) Close(ctx context.Context) (err error) {
	l.closing.Do(func() {
		l.cancel()
		<-l.done
		l.renewed.Store(nil)
		_, err = l.store(ctx, l.spec, l.key, marker(), write{expect: l.last})
		err = translate("releasing a lease in "+l.spec.Name, err)
	})
	return err
}

// run renews the lease until ctx ends: every quarter of length, and earlier after a failure.
func (l *Lease) run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(l.length / 4)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := l.renew(ctx)
		wait := l.length / 4
		if err != nil {
			wait = l.length / 20
		}
		timer.Reset(wait)
	}
}

// renew writes the key once. After an expiry the lease becomes valid only when rejoin has succeeded.
func (l *Lease) renew(ctx context.Context) error {
	data, err := json.Marshal(leaseRecord{LengthMS: l.length.Milliseconds(), Since: l.since})
	if err != nil {
		return err
	}
	writing, cancel := context.WithTimeout(ctx, l.length/2)
	defer cancel()
	expired := !l.Valid()
	sent := l.now()
	if l.last, err = l.store(writing, l.spec, l.key, &nats.Msg{Data: data, Header: nats.Header{}}, write{expect: l.last}); err != nil {
		l.last = 0
		return err
	}
	// The lease may have expired during the renewal.
	if expired || !l.Valid() {
		joining, cancel := context.WithTimeout(ctx, l.length/2)
		defer cancel()
		if err := l.rejoin(joining); err != nil {
			return fmt.Errorf("rejoining: %w", err)
		}
	}
	l.renewed.Store(&sent)
	return nil
}

// elapsed returns the time since then by the monotonic or the wall clock, whichever is more. It is an upper bound unless both
// clocks are wrong.
func elapsed(now, then time.Time) time.Duration {
	return max(now.Sub(then), time.Duration(now.UnixNano()-then.UnixNano()))
}

// Live returns the keys that match filter and are held by a lease, sorted. The stream's leader answers from its own state: a lease is
// listed if its HoldLease returned before the call, not listed if its Close returned before the call, and listed until its TTL ends if
// its holder died (the server may expire it late, never early). Keys that their writers did not write are not listed.
func Live(ctx context.Context, js JetStream, spec Spec, filter string) ([]string, error) {
	doing := "listing leases in " + spec.Name
	if err := checkFilter(filter); err != nil {
		return nil, translate(doing, err)
	}
	from, err := openSource(ctx, js, spec.Stream(), spec.authorOf)
	if err != nil {
		return nil, translate(doing, err)
	}
	subjects, err := listSubjects(ctx, js, spec)
	if err != nil {
		return nil, translate(doing, err)
	}
	var mu sync.Mutex
	live := []string{}
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(liveReads)
	for subject := range subjects {
		key, ok := spec.Key(subject)
		if !ok || !matches(filter, key) {
			continue
		}
		group.Go(func() error {
			found, err := from.last(reading, subject)
			if errors.Is(classify(err), ErrNotFound) {
				return nil
			}
			if err != nil || found.sequence == 0 || found.isMarker() {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			live = append(live, key)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, translate(doing, err)
	}
	slices.Sort(live)
	return live, nil
}

// liveReads is how many leases Live reads at once.
const liveReads = 16

// listSubjects asks the leader for the bucket's subjects and the number of messages of each.
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
		return nil, fmt.Errorf("%d keys do not fit into one answer", answer.Total)
	}
	return answer.State.Subjects, nil
}
