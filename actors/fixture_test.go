package actors_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

func wantCode(t *testing.T, err error, want subjects.Code) {
	t.Helper()
	if got := subjects.CodeOf(err); got != want {
		t.Errorf("the code is %q (%v), want %q", got, err, want)
	}
}

// receive returns the next value of a channel, or fails the test after 20 seconds.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was received within 20 seconds")
		panic("unreachable")
	}
}
