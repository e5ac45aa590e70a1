package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// A call says that nothing was started only if that is so: a workflow repeats it then.
func TestNotStarted(t *testing.T) {
	t.Parallel()
	unavailable := &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the rate limits cannot be reached right now", Cause: kv.ErrUnavailable}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		o    *outcome
		err  error
		want bool
	}{
		"a bucket before the call":     {t.Context(), nil, fmt.Errorf("reading: %w", kv.ErrUnavailable), true},
		"a limit of the first attempt": {t.Context(), &outcome{refused: unavailable, attempts: 1}, unavailable, true},
		"a limit of the second one":    {t.Context(), &outcome{refused: unavailable, attempts: 2}, unavailable, false},
		"an answer of the provider":    {t.Context(), &outcome{attempts: 1}, unavailable, false},
		"an open breaker":              {t.Context(), nil, &egress.OpenError{}, false},
		"another reason":               {t.Context(), nil, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded}, false},
		"another code":                 {t.Context(), nil, &subjects.Error{Code: subjects.CodeTimeout, Cause: kv.ErrUnavailable}, false},
		"the end of the deadline":      {ended, nil, kv.ErrUnavailable, false},
	} {
		err := notStarted(c.ctx, c.o, c.err)
		var coded *subjects.Error
		if got := errors.As(err, &coded) && coded.Reason == subjects.ReasonNotStarted; got != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
