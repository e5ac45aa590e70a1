package runtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/weftmesh/weft/subjects"
)

func TestSemaphoreAdmitsHandledAndWaitingRequests(t *testing.T) {
	t.Parallel()
	const concurrency = 3
	s := newBoundedSemaphore(concurrency)
	admitted := 0
	for s.admit() {
		admitted++
	}
	if want := concurrency * (1 + queueFactor); admitted != want {
		t.Errorf("%d requests were admitted, want %d", admitted, want)
	}
	s.leave()
	if !s.admit() || s.admit() {
		t.Error("one request left and not exactly one was admitted")
	}
}

func TestSemaphoreLimitsConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBoundedSemaphore(2)
		for range 2 {
			if err := s.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		third := make(chan error, 2)
		go func() { third <- s.acquire(t.Context()) }()
		synctest.Wait()
		if len(third) != 0 {
			t.Error("three requests are handled concurrently")
		}
		s.release()
		if err := <-third; err != nil {
			t.Errorf("after a release: %v", err)
		}
		go func() { third <- s.acquire(ctx) }()
		synctest.Wait()
		cancel()
		err := <-third
		var coded *subjects.Error
		if !errors.As(err, &coded) || coded.Code != subjects.CodeUnavailable || coded.RetryAfter != subjects.RetrySoon {
			t.Errorf("with a canceled context: %v", err)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not wrap the context's error", err)
		}
	})
}

// A free place is taken also if the context has already ended: the handler notices it by itself.
func TestSemaphorePrefersAFreePlace(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		s := newBoundedSemaphore(1)
		if err := s.acquire(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
