package kv_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/kv"
)

// leases is a bucket for leases that end soon.
var leases = kv.Spec{Name: "leases", Writers: []string{"auth", "consent"}, TTL: time.Second, Direct: true}

func TestLeaseIsLiveFromHoldToClose(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	live := func(filter string, want ...string) {
		t.Helper()
		got, err := kv.Live(ctx, js, kv.Guards, filter)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("live under %s: %v, not %v", filter, got, want)
		}
	}
	live(">")
	a, err := kv.HoldLease(ctx, js, kv.Guards, "auth.a", 5*time.Second)
	must(t, err)
	live(">", "auth.a")
	b, err := kv.HoldLease(ctx, js, kv.Guards, "consent.b", 5*time.Second)
	must(t, err)
	live(">", "auth.a", "consent.b")
	live("auth.*", "auth.a")
	live("auth.>", "auth.a")
	live("*", []string{}...)
	if !a.Valid() || !b.Valid() {
		t.Fatal("a held lease is not valid")
	}
	must(t, a.Close(ctx))
	live(">", "consent.b")
	if a.Valid() {
		t.Fatal("a closed lease is valid")
	}
	must(t, a.Close(ctx))
	must(t, b.Close(ctx))
	live(">")
}

func TestClosedLeaseNeverReturnsToTheList(t *testing.T) {
	t.Parallel()
	js := mesh(t, leases)
	ctx := deadline(t)
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	must(t, lease.Close(ctx))
	stream, err := js.Stream(ctx, leases.Stream())
	must(t, err)
	eventually(t, "the markers are gone", func() bool {
		got, err := kv.Live(ctx, js, leases, ">")
		must(t, err)
		if len(got) > 0 {
			t.Fatalf("live after Close: %v", got)
		}
		info, err := stream.Info(ctx)
		must(t, err)
		return info.State.Msgs == 0
	})
}

func TestLeaseOutlivesItsLength(t *testing.T) {
	t.Parallel()
	js := mesh(t, leases)
	ctx := deadline(t)
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	began := time.Now()
	eventually(t, "three lengths are over", func() bool {
		if !lease.Valid() {
			t.Fatal("a lease in good order lapsed")
		}
		got, err := kv.Live(ctx, js, leases, ">")
		must(t, err)
		if !slices.Equal(got, []string{"auth.a"}) {
			t.Fatalf("live: %v", got)
		}
		return time.Since(began) > 3*time.Second
	})
	must(t, lease.Close(ctx))
}

// TestLeaseIsNeverValidWhenItsKeyIsGone is the promise itself: whoever sees no key may act as if the holder were dead.
func TestLeaseIsNeverValidWhenItsKeyIsGone(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js, other := connect(t, srv.ClientURL()), connect(t, srv.ClientURL())
	ctx := deadline(t)
	must(t, kv.CreateSpecs(ctx, other, 1, leases))
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	js.Conn().Close()
	eventually(t, "the key ends", func() bool {
		got, err := kv.Live(ctx, other, leases, ">")
		must(t, err)
		gone := len(got) == 0
		if gone && lease.Valid() {
			t.Fatal("the key is gone and the lease valid")
		}
		return gone
	})
	if err := lease.Close(ctx); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("closing while the server is away: %v", err)
	}
}

func TestLeaseDistrustsItsClocks(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	var ahead atomic.Int64
	clock := kv.LeaseClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	lease, err := kv.HoldLease(deadline(t), js, kv.Guards, "auth.a", 5*time.Second, clock)
	must(t, err)
	defer func() { _ = lease.Close(context.Background()) }()
	if !lease.Valid() {
		t.Fatal("not valid at first")
	}
	ahead.Store(int64(4 * time.Second))
	if lease.Valid() {
		t.Fatal("valid past four fifths of its length")
	}
	eventually(t, "renewed", lease.Valid)
}

func TestLapsedLeaseCatchesUpBeforeItIsValid(t *testing.T) {
	t.Parallel()
	js, _, down, up := restartable(t)
	ctx := deadline(t)
	must(t, kv.CreateSpecs(ctx, js, 1, leases))
	var rejoined, refuse atomic.Int64
	var lease atomic.Pointer[kv.Lease]
	held, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second, kv.OnRejoin(func(context.Context) error {
		if l := lease.Load(); l != nil && l.Valid() {
			t.Error("valid before it has caught up")
		}
		rejoined.Add(1)
		if refuse.Add(-1) >= 0 {
			return errors.New("not yet")
		}
		return nil
	}))
	must(t, err)
	lease.Store(held)
	if rejoined.Load() != 1 || !held.Valid() {
		t.Fatalf("at first: caught up %d times, valid %v", rejoined.Load(), held.Valid())
	}
	refuse.Store(2)
	down()
	eventually(t, "lapsed", func() bool { return !held.Valid() })
	up()
	eventually(t, "valid again", held.Valid)
	if rejoined.Load() != 4 {
		t.Fatalf("caught up %d times", rejoined.Load())
	}
	must(t, held.Close(ctx))
}

func TestBadLeasesAreRefused(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	for _, bad := range []struct {
		spec   kv.Spec
		key    string
		length time.Duration
		want   error
	}{
		{kv.AuthSessions, "a", time.Second, kv.ErrInvalidArgument},
		{kv.AuthRevoked, "a", time.Second, kv.ErrInvalidArgument},
		{kv.Spec{Name: "v", Writers: []string{"a"}, TTL: time.Second, Storage: kv.Volatile}, "a.a", time.Second, kv.ErrInvalidArgument},
		{kv.Guards, "auth.a", 0, kv.ErrInvalidArgument},
		{kv.Guards, "auth.a", 6 * time.Second, kv.ErrInvalidArgument},
		{kv.Guards, "auth.a.closed", time.Second, kv.ErrInvalidKey},
		{kv.Guards, "auth", time.Second, kv.ErrInvalidKey},
		{kv.Guards, "nobody.a", time.Second, kv.ErrInvalidKey},
		{kv.Guards, "auth.*", time.Second, kv.ErrInvalidKey},
	} {
		if _, err := kv.HoldLease(ctx, js, bad.spec, bad.key, bad.length); !errors.Is(err, bad.want) {
			t.Errorf("%s in %s for %s: %v", bad.key, bad.spec.Name, bad.length, err)
		}
	}
	refused := errors.New("refused")
	if _, err := kv.HoldLease(ctx, js, kv.Guards, "auth.a", time.Second,
		kv.OnRejoin(func(context.Context) error { return refused })); !errors.Is(err, refused) {
		t.Errorf("a lease that cannot catch up: %v", err)
	}
}
