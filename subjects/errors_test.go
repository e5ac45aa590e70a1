package subjects_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/subjects"
)

func TestErrorIs(t *testing.T) {
	t.Parallel()
	moving := &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonPartitionMoving, Detail: "moving"}
	overloaded := &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded}
	unavailable := &subjects.Error{Code: subjects.CodeUnavailable}
	notFound := subjects.Errorf(subjects.CodeNotFound, "no such thing")
	body, err := json.Marshal(subjects.ProblemOf(moving, "r", "t"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		err, target error
		want        bool
	}{
		"same value":                    {moving, moving, true},
		"same reason, other detail":     {moving, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonPartitionMoving}, true},
		"received from another process": {subjects.ParseProblem(body), moving, true},
		"other reason, same code":       {moving, overloaded, false},
		"target without reason":         {moving, unavailable, true},
		"error without reason":          {unavailable, moving, false},
		"same reason, other code":       {moving, &subjects.Error{Code: subjects.CodeConflict, Reason: subjects.ReasonPartitionMoving}, false},
		"other code":                    {notFound, unavailable, false},
		"wrapped":                       {fmt.Errorf("starting: %w", moving), moving, true},
		"as a cause":                    {&subjects.Error{Code: subjects.CodeInternal, Cause: moving}, moving, true},
		"joined":                        {errors.Join(notFound, overloaded), overloaded, true},
		"foreign error":                 {errors.New("unavailable"), unavailable, false},
		"foreign target":                {unavailable, context.Canceled, false},
		"nil":                           {nil, unavailable, false},
	} {
		if got := errors.Is(test.err, test.target); got != test.want {
			t.Errorf("%s: errors.Is(%v, %v) is %t", name, test.err, test.target, got)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*subjects.Error{
		"not_found":                           {Code: subjects.CodeNotFound},
		"not_found: no such workflow":         subjects.Errorf(subjects.CodeNotFound, "no such %s", "workflow"),
		"unavailable (overloaded): busy":      {Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, Detail: "busy"},
		"unavailable: lost: unexpected EOF":   {Code: subjects.CodeUnavailable, Detail: "lost", Cause: errors.New("unexpected EOF")},
		"invalid: limit: must be 1 or more":   subjects.InvalidField("limit", "must be %d or more", 1),
		"internal: context deadline exceeded": {Code: subjects.CodeInternal, Cause: context.DeadlineExceeded},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := (&subjects.Error{Code: subjects.CodeTimeout, Cause: context.DeadlineExceeded}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is not in the chain")
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for want, err := range map[subjects.Code]error{
		"":                       nil,
		subjects.CodeInternal:    errors.New("foreign"),
		subjects.CodeConflict:    fmt.Errorf("wrapped: %w", subjects.Errorf(subjects.CodeConflict, "taken")),
		subjects.CodeNotFound:    &subjects.Error{Code: subjects.CodeNotFound, Cause: subjects.Errorf(subjects.CodeConflict, "inner")},
		subjects.CodeUnavailable: errors.Join(errors.New("foreign"), &subjects.Error{Code: subjects.CodeUnavailable}),
		subjects.CodeInvalid:     subjects.InvalidField("a", "b"),
		subjects.CodeRateLimited: &subjects.Error{Code: subjects.CodeRateLimited},
		subjects.CodeUnsupported: subjects.Errorf(subjects.CodeUnsupported, "x"),
		subjects.CodeNeedsReauth: subjects.Errorf(subjects.CodeNeedsReauth, "x"),
		subjects.Code("made_up"): subjects.Errorf("made_up", "x"),
	} {
		if got := subjects.CodeOf(err); got != want {
			t.Errorf("CodeOf(%v) is %q, want %q", err, got, want)
		}
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	transient := map[subjects.Code]bool{
		subjects.CodeUnavailable: true, subjects.CodeTimeout: true, subjects.CodeRateLimited: true, subjects.CodeInternal: true,
	}
	for _, code := range subjects.Codes() {
		for name, err := range map[string]error{
			"plain": &subjects.Error{Code: code}, "wrapped": fmt.Errorf("starting: %w", subjects.Errorf(code, "x")),
			"with a reason": &subjects.Error{Code: code, Reason: subjects.ReasonOverloaded},
		} {
			if got := subjects.Transient(err); got != transient[code] {
				t.Errorf("%s, %s: transient is %t", code, name, got)
			}
		}
	}
	if subjects.Transient(nil) {
		t.Error("no error is transient")
	}
	if !subjects.Transient(errors.New("database is locked")) {
		t.Error("an unclassified error is not transient")
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	seen, titles := map[subjects.Code]bool{}, map[string]subjects.Code{}
	for _, code := range subjects.Codes() {
		if seen[code] {
			t.Errorf("%s is listed twice", code)
		}
		seen[code] = true
		if other, taken := titles[code.Title()]; taken || code.Title() == "" {
			t.Errorf("%s has the title %q of %q", code, code.Title(), other)
		}
		titles[code.Title()] = code
		if status := code.Status(); status < 400 || status > 599 {
			t.Errorf("%s has status %d", code, status)
		}
		if !regexp.MustCompile(`^urn:weft:error:[a-z_]+$`).MatchString(code.Type()) {
			t.Errorf("%s has type %s", code, code.Type())
		}
	}
	if subjects.Code("made_up").Status() != 500 {
		t.Error("an unknown code is not a server error")
	}
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(subjects.ProblemOf(&subjects.Error{
		Code: subjects.CodeConflict, Reason: subjects.ReasonAlreadyExists, Detail: "taken", RetryAfter: time.Millisecond,
		Cause: errors.New("canary"),
	}, "r1", "t1"))
	const want = `{"type":"urn:weft:error:conflict","title":"Conflict","status":409,"detail":"taken","code":"conflict",` +
		`"reason":"already_exists","retry_after":1,"request_id":"r1","trace_id":"t1"}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s, %v", got, want, err)
	}
	got, err = json.Marshal(subjects.ProblemOf(&subjects.Error{Code: subjects.CodeNotFound}, "", ""))
	if err != nil || string(got) != `{"type":"urn:weft:error:not_found","title":"Not found","status":404,"code":"not_found"}` {
		t.Errorf("without optional members: %s, %v", got, err)
	}
	hidden := subjects.ProblemOf(fmt.Errorf("dial tcp 10.0.0.1: %w", errors.New("secret")), "", "t1")
	if hidden.Code != subjects.CodeInternal || strings.Contains(hidden.Detail, "10.0.0.1") || hidden.TraceID != "t1" {
		t.Errorf("a foreign error is disclosed: %+v", hidden)
	}
	wrapped := subjects.ProblemOf(fmt.Errorf("starting %s: %w", "canary", subjects.Errorf(subjects.CodeConflict, "taken")), "", "")
	if wrapped.Code != subjects.CodeConflict || wrapped.Detail != "taken" {
		t.Errorf("a wrapped error becomes %+v", wrapped)
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]int{
		0: 0, time.Nanosecond: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90,
	} {
		err := &subjects.Error{Code: subjects.CodeRateLimited, RetryAfter: wait}
		if got := subjects.ProblemOf(err, "", "").RetryAfter; got != want {
			t.Errorf("%s becomes %d seconds, want %d", wait, got, want)
		}
	}
}

// TestProblemsRoundTrip checks that an error keeps everything but its cause over the wire.
func TestProblemsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~é]{0,20}`)
		sent := &subjects.Error{
			Code: rapid.SampledFrom(subjects.Codes()).Draw(t, "code"), Reason: subjects.Reason(rapid.StringMatching(`([a-z_]{1,20})?`).Draw(t, "reason")),
			Detail: text.Draw(t, "detail"), Scope: text.Draw(t, "scope"),
			RetryAfter: time.Duration(rapid.IntRange(0, 1<<20).Draw(t, "seconds")) * time.Second,
		}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			sent.Fields = append(sent.Fields, subjects.FieldError{
				Field: text.Draw(t, "field"), Message: text.Draw(t, "message"), Line: rapid.IntRange(0, 9).Draw(t, "line"),
				Column: rapid.IntRange(0, 9).Draw(t, "column"), Pointer: text.Draw(t, "pointer"), Code: text.Draw(t, "field code"),
			})
		}
		body, err := json.Marshal(subjects.ProblemOf(sent, "r", "t"))
		if err != nil {
			t.Fatal(err)
		}
		got := subjects.ParseProblem(body)
		again, err := json.Marshal(subjects.ProblemOf(got, "r", "t"))
		if err != nil || !bytes.Equal(again, body) || got.RetryAfter != sent.RetryAfter || !errors.Is(got, sent) || got.Cause != nil {
			t.Fatalf("sent %s, received %s, %v", body, again, err)
		}
	})
}

func TestParseProblemRejects(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"unknown code": `{"code":"made_up","detail":"canary"}`, "no code": `{}`, "empty": ``, "null": `null`, "list": `[]`,
		"wrong type": `{"code":7}`, "HTML": `<html>`, "code in other case": `{"code":"NOT_FOUND"}`,
	} {
		got := subjects.ParseProblem([]byte(body))
		if got.Code != subjects.CodeInternal || got.Detail != "" || got.Cause == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := subjects.ParseProblem([]byte(`{"code":"not_found","reason":"new_one","unknown":1}`)); got.Reason != "new_one" || got.Code != subjects.CodeNotFound {
		t.Errorf("members of a later version: got %+v", got)
	}
	long := subjects.ParseProblem(bytes.Repeat([]byte("x"), 1<<16))
	if n := len(long.Error()); n > 300 {
		t.Errorf("the error quotes %d bytes of the body", n)
	}
}

func TestHasFieldCode(t *testing.T) {
	t.Parallel()
	unknown := &subjects.Error{Code: subjects.CodeConflict, Fields: []subjects.FieldError{{Field: "a"}, {Field: "b", Code: subjects.FieldUnknownOutcome}}}
	for _, test := range []struct {
		err  error
		code string
		want bool
	}{
		{unknown, subjects.FieldUnknownOutcome, true},
		{fmt.Errorf("calling: %w", unknown), subjects.FieldUnknownOutcome, true},
		{unknown, "other", false},
		{subjects.InvalidField("a", "b"), subjects.FieldUnknownOutcome, false},
		{errors.New("foreign"), subjects.FieldUnknownOutcome, false},
		{nil, subjects.FieldUnknownOutcome, false},
	} {
		if got := subjects.HasFieldCode(test.err, test.code); got != test.want {
			t.Errorf("HasFieldCode(%v, %s) is %t", test.err, test.code, got)
		}
	}
}

// FuzzParseProblem checks that a received body always becomes an error with a known code.
func FuzzParseProblem(f *testing.F) {
	f.Add([]byte(`{"code":"conflict","reason":"already_exists","errors":[{"field":"a","message":"b"}],"retry_after":3}`))
	f.Add([]byte(`{"code":"conflict","retry_after":-1}`))
	f.Add([]byte(`{"code":"conflict","code":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := subjects.ParseProblem(body)
		if err.Code.Title() == "" {
			t.Errorf("%q has the unknown code %q", body, err.Code)
		}
		if again, e := json.Marshal(subjects.ProblemOf(err, "", "")); e != nil {
			t.Errorf("%q cannot be encoded again: %v, %s", body, e, again)
		}
	})
}
