package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/wait"
)

var errStopped = errors.New("stopped")

// canceled returns a context that has ended with errStopped.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	return ctx
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := wait.Sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("slept %s, %v", time.Since(start), err)
		}
		if err := wait.Sleep(canceled(t), time.Minute); !errors.Is(err, errStopped) {
			t.Errorf("with a canceled context: %v, want its cause", err)
		}
		if time.Since(start) != time.Minute {
			t.Errorf("a canceled context waited %s", time.Since(start)-time.Minute)
		}
	})
}

func TestUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		close(closed)
		for name, c := range map[string]struct {
			ctx   context.Context
			ready <-chan struct{}
			waits time.Duration
			want  error
		}{
			"ready":             {t.Context(), closed, 0, nil},
			"the limit":         {t.Context(), make(chan struct{}), time.Second, nil},
			"no channel":        {t.Context(), nil, time.Second, nil},
			"a context's cause": {canceled(t), nil, 0, errStopped},
		} {
			start := time.Now()
			if err := wait.Until(c.ctx, c.ready, time.Second); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if took := time.Since(start); took != c.waits {
				t.Errorf("%s: it waited %s, want %s", name, took, c.waits)
			}
		}
	})
}

func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		var calls []time.Duration
		err := wait.Every(ctx, time.Second, func() {
			calls = append(calls, time.Since(start))
			if len(calls) == 2 {
				_ = wait.Sleep(ctx, 1500*time.Millisecond) // one interval passes during this call
			}
			if len(calls) == 4 {
				cancel(errStopped)
			}
		})
		if !errors.Is(err, errStopped) {
			t.Errorf("%v, want the cause", err)
		}
		if len(calls) != 4 || calls[0] != time.Second || calls[1] != 2*time.Second || calls[2] < 3500*time.Millisecond {
			t.Errorf("calls after %v", calls)
		}
		if err := wait.Every(ctx, time.Second, func() { t.Error("called with a canceled context") }); !errors.Is(err, errStopped) {
			t.Errorf("with a canceled context: %v", err)
		}
	})
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := wait.Repeat(ctx, time.Millisecond, func(context.Context) error {
		if calls++; calls == 3 {
			cancel()
			return errors.New("after the end")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	failure := errors.New("failure")
	if err := wait.Repeat(t.Context(), time.Hour, func(context.Context) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("a failure is returned as %v", err)
	}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := wait.NewSignal()
		for range 3 {
			s.Notify()
		}
		start := time.Now()
		if err := s.Wait(t.Context(), time.Second); err != nil || time.Since(start) != 0 {
			t.Errorf("with a pending notification it waited %s, %v", time.Since(start), err)
		}
		if err := s.Wait(t.Context(), time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("three notifications ended more than one wait: %s, %v", time.Since(start), err)
		}
		go func() {
			_ = wait.Sleep(t.Context(), time.Second)
			s.Notify()
		}()
		if err := s.Wait(t.Context(), time.Hour); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("a notification during the wait: %s, %v", time.Since(start), err)
		}
		s.Notify()
		<-s.C()
		if err := s.Wait(canceled(t), time.Hour); !errors.Is(err, errStopped) {
			t.Errorf("with a canceled context: %v", err)
		}
	})
}
