package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	live := t.Context()
	canceled, cancel := context.WithCancel(live)
	cancel()
	foreign := errors.New("foreign")
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want subjects.Code
	}{
		"nil":                              {live, nil, ""},
		"an error with a code":             {live, subjects.Errorf(subjects.CodeConflict, "x"), subjects.CodeConflict},
		"a wrapped error with a code":      {live, fmt.Errorf("y: %w", subjects.Errorf(subjects.CodeConflict, "x")), subjects.CodeConflict},
		"an unavailable bucket":            {live, fmt.Errorf("reading: %w", kv.ErrUnavailable), subjects.CodeUnavailable},
		"an unavailable database":          {live, fmt.Errorf("reading: %w", database.ErrUnavailable), subjects.CodeUnavailable},
		"an unavailable store, too late":   {canceled, kv.ErrUnavailable, subjects.CodeTimeout},
		"a deadline":                       {live, fmt.Errorf("calling: %w", context.DeadlineExceeded), subjects.CodeTimeout},
		"any error after the context":      {canceled, foreign, subjects.CodeTimeout},
		"a code after the context's end":   {canceled, subjects.Errorf(subjects.CodeConflict, "x"), subjects.CodeConflict},
		"a foreign error":                  {live, foreign, subjects.CodeInternal},
		"a canceled context of the callee": {live, context.Canceled, subjects.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := classify(c.ctx, c.err)
			if code := subjects.CodeOf(got); code != c.want {
				t.Errorf("the code of %v is %q, want %q", got, code, c.want)
			}
			if !errors.Is(got, c.err) {
				t.Errorf("%v does not wrap %v", got, c.err)
			}
			var coded *subjects.Error
			if c.want == subjects.CodeUnavailable && (!errors.As(got, &coded) || coded.RetryAfter != subjects.RetrySoon) {
				t.Errorf("%v has no RetryAfter", got)
			}
		})
	}
}

func TestRecovered(t *testing.T) {
	t.Parallel()
	telemetry, err := mesh.NewTelemetry(t.Context(), mesh.TelemetryOptions{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	r := &Runtime{Telemetry: telemetry}
	failure := errors.New("failure")
	if err := r.recovered(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	err = r.recovered(func() error { panic("canary") })
	if err == nil || !strings.Contains(err.Error(), "panic: canary") || !strings.Contains(err.Error(), "errors_test.go") {
		t.Errorf("a panic yields %v, want its value and stack", err)
	}
}

func TestDeadLetterData(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxDeadLetterText+1)
	for data, want := range map[string]string{
		`{"a":1}`:        `{"a":1}`,
		`"text"`:         `"text"`,
		"":               `""`,
		"no JSON":        `"no JSON"`,
		"\xffno JSON":    `"\ufffdno JSON"`,
		`{"a":1} {}`:     `"{\"a\":1} {}"`,
		long:             `"` + long[:maxDeadLetterText] + `"`,
		`"` + long + `"`: `"` + long + `"`,
	} {
		got := deadLetterData([]byte(data))
		if string(got) != want {
			t.Errorf("%.40q: %.40q, want %.40q", data, got, want)
		}
		if !json.Valid(got) {
			t.Errorf("%.40q: %.40q is not JSON", data, got)
		}
	}
}
