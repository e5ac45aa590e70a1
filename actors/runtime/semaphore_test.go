package runtime

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weftmesh/weft/subjects"
)

func TestSemaphoreAdmitsHandledAndWaitingRequests(t *testing.T) {
	t.Parallel()
	const concurrency = 3
	s := newBoundedSemaphore("test.endpoint", concurrency)
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
		s := newBoundedSemaphore("test.endpoint", 2)
		for range 2 {
			if err := s.acquire(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		third := make(chan error, 2)
		go func() { third <- s.acquire(t.Context(), "") }()
		synctest.Wait()
		if len(third) != 0 {
			t.Error("three requests are handled concurrently")
		}
		s.release("")
		if err := <-third; err != nil {
			t.Errorf("after a release: %v", err)
		}
		go func() { third <- s.acquire(ctx, "") }()
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
		s := newBoundedSemaphore("test.endpoint", 1)
		if err := s.acquire(ctx, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUserHasAShareOfTheSemaphore: requests of one user that take long leave half of the places to others, and further ones wait in the
// user's own share of the queue or are refused by name. A request of the user with the fewest handled ones is next.
func TestUserHasAShareOfTheSemaphore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBoundedSemaphore("test.endpoint", 4)
		handled := make(chan string, 100)
		var refused atomic.Int64
		request := func(user string) {
			go func() {
				if err := s.acquire(t.Context(), user); err == nil {
					handled <- user
				} else if errors.Is(err, &subjects.Error{Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached}) {
					refused.Add(1)
				} else {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		for range 20 {
			request("eve")
		}
		if n := len(handled); n != 2 || refused.Load() != 2 {
			t.Errorf("%d requests of a user are handled and %d refused, want 2 of 4 places and 2 of 18", n, refused.Load())
		}
		request("ada")
		request("bob")
		request("ada")
		if n := len(handled); n != 4 {
			t.Errorf("%d requests are handled, want 4", n)
		}
		for range 4 {
			<-handled
		}
		s.release("eve")
		synctest.Wait()
		if next := <-handled; next != "eve" && next != "ada" {
			t.Errorf("%s is next", next)
		}
		s.release("bob")
		synctest.Wait()
		if next := <-handled; next != "ada" && next != "eve" {
			t.Errorf("%s is next", next)
		}
		if free := s.free; free != 0 || s.users["ada"].handled != 2 || s.users["eve"].handled != 2 {
			t.Errorf("%d places are free, %+v", free, s.users)
		}
		for range 15 {
			s.release("eve")
			synctest.Wait()
			<-handled
		}
		s.release("eve")
		s.release("eve")
		s.release("ada")
		s.release("ada")
		synctest.Wait()
		if s.free != 4 || len(s.users) != 0 || len(s.waiting) != 0 {
			t.Errorf("after all: %d free, %v, %d waiting", s.free, s.users, len(s.waiting))
		}
	})
}
