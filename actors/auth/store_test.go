package auth

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func TestStoredTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	if got := fromMicros(toMicros(at)); !got.Equal(at) {
		t.Errorf("%s becomes %s", at, got)
	}
	if toMicros(time.Time{}) != 0 || !fromMicros(0).IsZero() || actors.OptionalTime(0) != nil {
		t.Errorf("the zero time is not stored as 0")
	}
	if got := actors.OptionalTime(toMicros(at)); got == nil || !got.Equal(at) {
		t.Errorf("%s becomes %v", at, got)
	}
}

func TestPageOf(t *testing.T) {
	t.Parallel()
	double := func(n string) string { return n + n }
	own := func(n string) string { return n }
	for _, test := range []struct {
		rows   []string
		items  []string
		cursor []string
	}{{nil, []string{}, nil}, {[]string{"a", "b"}, []string{"aa", "bb"}, nil}, {[]string{"a", "b", "c"}, []string{"aa", "bb"}, []string{"b"}}} {
		got := pageOf(test.rows, 2, double, own)
		if got.Items == nil || !slices.Equal(got.Items, test.items) || got.NextCursor != actors.EncodeCursor(test.cursor...) {
			t.Errorf("%v: got %+v", test.rows, got)
		}
	}
}

func TestTruncateUserAgent(t *testing.T) {
	t.Parallel()
	for _, agent := range []string{"", "curl", strings.Repeat("a", 300), strings.Repeat("ü", 300), "a" + strings.Repeat("ü", 300)} {
		got := truncateUserAgent(agent)
		if len(got) > maxUserAgent || !utf8.ValidString(got) || !strings.HasPrefix(agent, got) || len(agent)-len(got) > 0 && len(got) < maxUserAgent-3 {
			t.Errorf("%.10q… of %d bytes becomes %d bytes", agent, len(agent), len(got))
		}
	}
}

func TestErasureStatus(t *testing.T) {
	t.Parallel()
	row := erasureRow{ID: "e", Round: erasureFirst, RequestedAt: 1}
	answers := []erasureAnswerRow{{Actor: "auth", Round: erasureFirst, Items: 3, At: 1}}
	if row.complete(answers) || row.status(answers).Status != "erasing" {
		t.Errorf("without answers: %+v", row.status(answers))
	}
	for _, actor := range subjects.ErasingActors() {
		answers = append(answers, erasureAnswerRow{Actor: actor, Round: erasureFirst, Items: 2, At: 2})
	}
	row.ErasedAt = 3
	if s := row.status(answers); !row.complete(answers) || s.Status != "erased" || s.ErasedAt == nil || s.SettledAt != nil {
		t.Errorf("after the first round: %+v", s)
	}
	row.Round = erasureLast
	if row.complete(answers) {
		t.Errorf("the first round's answers complete the second")
	}
	answers = append(answers, erasureAnswerRow{Actor: subjects.ErasingActors()[0], Round: erasureLast, Items: 1, At: 4})
	if s := row.status(answers); s.Actors[1].Items != 3 || s.Actors[0].Items != 3 {
		t.Errorf("the items of both rounds are not added up: %+v", s.Actors)
	}
}
