package kv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/kv"
)

// specs are buckets with different read paths and markers. All must satisfy the same contract.
func specs() []kv.Spec {
	return []kv.Spec{
		{Name: "leader", Owner: "test"},
		{Name: "direct", Owner: "test"},
		{Name: "marked", Owner: "test"},
		{Name: "volatile", Owner: "test", Storage: kv.Volatile},
	}
}

func TestBucketContract(t *testing.T) {
	t.Parallel()
	js := mesh(t, specs()...)
	for _, spec := range specs() {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			ctx, b := deadline(t), open(t, js, spec)
			if _, err := b.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
				t.Fatalf("Get of a missing key: %v", err)
			}
			first, err := b.Create(ctx, "k", value{"a", 1}, 0)
			must(t, err)
			if _, err := b.Create(ctx, "k", value{"b", 2}, 0); !errors.Is(err, kv.ErrExists) {
				t.Fatalf("second Create: %v", err)
			}
			second, err := b.Update(ctx, "k", value{"a", 2}, first)
			must(t, err)
			if _, err := b.Update(ctx, "k", value{"a", 3}, first); !errors.Is(err, kv.ErrConflict) {
				t.Fatalf("Update at an old revision: %v", err)
			}
			got, err := b.Get(ctx, "k")
			must(t, err)
			if got.Key != "k" || got.Value != (value{"a", 2}) || got.Revision != second || time.Since(got.Created).Abs() > time.Minute {
				t.Fatalf("Get: %+v", got)
			}
			if err := b.DeleteRevision(ctx, "k", first); !errors.Is(err, kv.ErrConflict) {
				t.Fatalf("DeleteRevision at an old revision: %v", err)
			}
			must(t, b.DeleteRevision(ctx, "k", second))
			if _, err := b.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
				t.Fatalf("Get of a deleted key: %v", err)
			}
			if _, err := b.Update(ctx, "k", value{}, second); !errors.Is(err, kv.ErrConflict) {
				t.Fatalf("Update of a deleted key: %v", err)
			}
			_, err = b.Create(ctx, "k", value{"c", 1}, 0)
			must(t, err)
			_, err = b.Put(ctx, "other.k", value{"d", 1})
			must(t, err)
			keys, err := b.Keys(ctx, ">")
			must(t, err)
			if fmt.Sprint(keys) != "[k other.k]" {
				t.Fatalf("Keys: %v", keys)
			}
			must(t, b.Delete(ctx, "k"))
			must(t, b.Delete(ctx, "k"))
			keys, err = b.Keys(ctx, ">")
			must(t, err)
			if fmt.Sprint(keys) != "[other.k]" {
				t.Fatalf("Keys after Delete: %v", keys)
			}
		})
	}
}

func TestPerKeyTTL(t *testing.T) {
	t.Parallel()
	js := mesh(t, specs()...)
	for _, spec := range specs() {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			ctx, b := deadline(t), open(t, js, spec)
			gone := func(key string) func() bool {
				return func() bool {
					_, err := b.Get(ctx, key)
					return errors.Is(err, kv.ErrNotFound)
				}
			}
			began := time.Now()
			_, err := b.Create(ctx, "created", value{"a", 1}, 100*time.Millisecond)
			must(t, err)
			_, err = b.PutTTL(ctx, "put", value{"a", 1}, time.Second)
			must(t, err)
			extended, err := b.PutTTL(ctx, "extended", value{"a", 1}, time.Second)
			must(t, err)
			extended, err = b.UpdateTTL(ctx, "extended", value{"a", 2}, extended, 60*time.Second)
			must(t, err)
			kept, err := b.PutTTL(ctx, "kept", value{"a", 1}, time.Second)
			must(t, err)
			_, err = b.Update(ctx, "kept", value{"a", 2}, kept)
			must(t, err)
			eventually(t, "the key of Create expires", gone("created"))
			if lived := time.Since(began); lived < time.Second {
				t.Fatalf("a TTL was rounded down: the key lived %s", lived)
			}
			eventually(t, "the key of PutTTL expires", gone("put"))
			if got, err := b.Get(ctx, "extended"); err != nil || got.Revision != extended {
				t.Fatalf("a key whose TTL UpdateTTL extended: %+v %v", got, err)
			}
			if _, err := b.Get(ctx, "kept"); err != nil {
				t.Fatalf("a key whose TTL Update removed: %v", err)
			}
			_, err = b.Create(ctx, "created", value{"again", 1}, 0)
			must(t, err)
			if _, err := b.PutTTL(ctx, "k", value{}, -1); !errors.Is(err, kv.ErrInvalidArgument) {
				t.Fatalf("negative TTL: %v", err)
			}
		})
	}
}

func TestMutateLosesNoChange(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, b := deadline(t), open(t, js, kv.AuthAttempts)
	const writers, changes = 8, 10
	errs := make(chan error, writers)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range changes {
				_, err := b.Mutate(ctx, "counter", func(old value, exists bool) (value, bool, error) {
					if exists != (old.N > 0) {
						return old, false, fmt.Errorf("exists is %v with the value %d", exists, old.N)
					}
					return value{"n", old.N + 1}, true, nil
				}, time.Minute)
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	got, err := b.Get(ctx, "counter")
	must(t, err)
	if got.Value.N != writers*changes {
		t.Fatalf("counted %d changes of %d", got.Value.N, writers*changes)
	}
}

func TestMutateDeletesAndAborts(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, b := deadline(t), open(t, js, kv.AuthSessions)
	refused := errors.New("refused")
	set := func(keep bool, err error) func(value, bool) (value, bool, error) {
		return func(value, bool) (value, bool, error) { return value{"x", 1}, keep, err }
	}
	if _, err := b.Mutate(ctx, "k", set(true, refused), 0); !errors.Is(err, refused) {
		t.Fatalf("change returns an error: %v", err)
	}
	if _, err := b.Mutate(ctx, "k", set(false, nil), 0); err != nil {
		t.Fatalf("not keeping a missing key: %v", err)
	}
	wrote, err := b.Mutate(ctx, "k", set(true, nil), 0)
	must(t, err)
	if got, err := b.Get(ctx, "k"); err != nil || got.Revision != wrote.Revision {
		t.Fatalf("Get: %+v %v", got, err)
	}
	for range 2 {
		_, err = b.Mutate(ctx, "k", set(false, nil), 0)
		must(t, err)
		if _, err := b.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
			t.Fatalf("Get after not keeping: %v", err)
		}
	}
	_, err = b.Mutate(ctx, "k", set(true, nil), 0)
	must(t, err)
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js := connect(t, srv.ClientURL())
	ctx := deadline(t)
	if _, err := kv.Open[value](ctx, js, kv.AuthSessions); !errors.Is(err, kv.ErrNoBucket) {
		t.Fatalf("opening a bucket that does not exist: %v", err)
	}
	must(t, kv.Create(ctx, js, 1))
	b := open(t, js, kv.AuthSessions)
	_, err := b.Put(ctx, "k", value{})
	must(t, err)
	stop(srv)
	eventually(t, "disconnected", func() bool { return !js.Conn().IsConnected() })
	_, get := b.Get(ctx, "k")
	_, put := b.Put(ctx, "k", value{})
	_, create := b.Create(ctx, "k2", value{}, 0)
	_, list := b.Keys(ctx, ">")
	_, live := kv.Live(ctx, js, kv.Guards, ">")
	_, reopen := kv.Open[value](ctx, js, kv.AuthSessions)
	_, mutate := b.Mutate(ctx, "k", func(v value, _ bool) (value, bool, error) { return v, true, nil }, 0)
	for i, err := range []error{get, put, create, list, live, reopen, mutate, b.Delete(ctx, "k")} {
		if !errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrNotFound) {
			t.Errorf("call %d while disconnected: %v", i, err)
		}
	}
}

func TestCancelledContextIsNotUnavailable(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	b := open(t, js, kv.AuthSessions)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Get(ctx, "k"); !errors.Is(err, context.Canceled) || errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("Get with a cancelled context: %v", err)
	}
}

// TestConcurrentDeletes: a deletion without a revision succeeds beside other deletions and writes of the key.
func TestConcurrentDeletes(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	bucket, err := kv.Open[string](t.Context(), js, kv.AuthSessions)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := bucket.Put(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for n := range 6 {
			group.Go(func() {
				if n == 0 {
					_, _ = bucket.Put(t.Context(), "k", "w")
					return
				}
				if err := bucket.Delete(t.Context(), "k"); err != nil {
					t.Errorf("deleting: %v", err)
				}
			})
		}
		group.Wait()
	}
}
