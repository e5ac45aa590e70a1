package actors_test

import (
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

func wantCode(t *testing.T, err error, want subjects.Code) {
	t.Helper()
	if got := subjects.CodeOf(err); got != want {
		t.Errorf("the code is %q (%v), want %q", got, err, want)
	}
}

// receive returns the next value of a channel.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	return actortest.Receive(t, "a value", from)
}
