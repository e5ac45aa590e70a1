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

// leases is a bucket for leases with a short TTL.
var leases = kv.Spec{Name: "leases", Writers: []string{"auth", "consent"}, TTL: time.Second}

func TestLeaseIsListedUntilClosed(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	live := func(filter string, want ...string) {
		t.Helper()
		got, err := kv.Live(ctx, js, kv.Guards, filter)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("live keys that match %s: %v, want %v", filter, got, want)
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

func TestClosedLeaseIsNotListedAgain(t *testing.T) {
	t.Parallel()
	js := mesh(t, leases)
	ctx := deadline(t)
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	must(t, lease.Close(ctx))
	stream, err := js.Stream(ctx, leases.Stream())
	must(t, err)
	eventually(t, "the markers expire", func() bool {
		got, err := kv.Live(ctx, js, leases, ">")
		must(t, err)
		if len(got) > 0 {
			t.Fatalf("listed after Close: %v", got)
		}
		info, err := stream.Info(ctx)
		must(t, err)
		return info.State.Msgs == 0
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	js := mesh(t, leases)
	ctx := deadline(t)
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	began := time.Now()
	eventually(t, "three lengths have passed", func() bool {
		if !lease.Valid() {
			t.Fatal("a renewed lease expired")
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

// A process that finds no key may act as if the holder were dead, so the holder must not consider its lease valid by then.
func TestLeaseIsNotValidAfterItsKeyExpired(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js, other := connect(t, srv.ClientURL()), connect(t, srv.ClientURL())
	ctx := deadline(t)
	must(t, kv.CreateSpecs(ctx, other, 1, leases))
	lease, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second)
	must(t, err)
	js.Conn().Close()
	eventually(t, "the key expires", func() bool {
		got, err := kv.Live(ctx, other, leases, ">")
		must(t, err)
		gone := len(got) == 0
		if gone && lease.Valid() {
			t.Fatal("the key has expired, but the lease is valid")
		}
		return gone
	})
	if err := lease.Close(ctx); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("closing while disconnected: %v", err)
	}
}

func TestLeaseLapsesByTheWallClock(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	var ahead atomic.Int64
	clock := kv.LeaseClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	lease, err := kv.HoldLease(deadline(t), js, kv.Guards, "auth.a", 5*time.Second, clock)
	must(t, err)
	defer func() { _ = lease.Close(context.Background()) }()
	if !lease.Valid() {
		t.Fatal("not valid after HoldLease")
	}
	ahead.Store(int64(4 * time.Second))
	if lease.Valid() {
		t.Fatal("valid after four fifths of its length")
	}
	eventually(t, "renewed", lease.Valid)
}

func TestLapsedLeaseRejoinsBeforeItIsValid(t *testing.T) {
	t.Parallel()
	js, _, down, up := restartable(t)
	ctx := deadline(t)
	must(t, kv.CreateSpecs(ctx, js, 1, leases))
	var rejoined, refuse atomic.Int64
	var lease atomic.Pointer[kv.Lease]
	held, err := kv.HoldLease(ctx, js, leases, "auth.a", time.Second, kv.OnRejoin(func(context.Context) error {
		if l := lease.Load(); l != nil && l.Valid() {
			t.Error("valid before OnRejoin has returned")
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
		t.Fatalf("after HoldLease: OnRejoin called %d times, valid %v", rejoined.Load(), held.Valid())
	}
	refuse.Store(2)
	down()
	eventually(t, "expired", func() bool { return !held.Valid() })
	up()
	eventually(t, "valid again", held.Valid)
	if rejoined.Load() != 4 {
		t.Fatalf("OnRejoin called %d times", rejoined.Load())
	}
	must(t, held.Close(ctx))
}

func TestInvalidLeasesAreRejected(t *testing.T) {
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
		t.Errorf("a lease whose OnRejoin fails: %v", err)
	}
}
