package consent

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/subjects"
)

// TestDueDates: a request is due on the same day of the next month, or on its last day if it has none (GDPR Art. 12(3), Regulation 1182/71).
func TestDueDates(t *testing.T) {
	t.Parallel()
	for from, want := range map[string][2]string{
		"2026-11-30": {"2026-12-30", "2027-02-28"}, "2026-01-31": {"2026-02-28", "2026-04-30"}, "2028-01-31": {"2028-02-29", "2028-04-30"},
		"2026-12-15": {"2027-01-15", "2027-03-15"}, "2026-02-28": {"2026-03-28", "2026-05-28"},
	} {
		at, err := time.Parse(time.DateOnly, from)
		if err != nil {
			t.Fatal(err)
		}
		for i, months := range []int{responseMonths, responseMonths + extensionMonths} {
			if got := addMonths(at.Add(time.Hour), months).Format(time.DateOnly + " 15"); got != want[i]+" 01" {
				t.Errorf("%s and %d months: %s, want %s", from, months, got, want[i])
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 0).UTC()
		got := addMonths(at, 1)
		if got.Month() != at.Month()%12+1 || got.Day() > at.Day() || got.Sub(at) < 28*24*time.Hour || got.Sub(at) > 31*24*time.Hour {
			t.Fatalf("%s becomes %s", at, got)
		}
	})
}

// TestRetryAfter: the pause doubles up to six hours, whatever the number of attempts.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 5: 32 * time.Minute, 9: 6 * time.Hour, 1 << 30: 6 * time.Hour} {
		if got := retryAfter(time.Minute, attempts); got != want {
			t.Errorf("after %d attempts: %s, want %s", attempts, got, want)
		}
	}
}

// TestCSVCells: no cell begins as a formula of a spreadsheet does.
func TestCSVCells(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		cell := csvCell(text)
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) || strings.TrimPrefix(cell, "'") != text && cell != text {
			t.Fatalf("%q becomes %q", text, cell)
		}
	})
}

// TestMarkCorrected: only what the user can change is marked, and only the named fields.
func TestMarkCorrected(t *testing.T) {
	t.Parallel()
	fields := []subjects.Rectification{{Field: "last_name"}, {Field: "calls.message"}}
	if all, any := markCorrected(fields, []string{"calls.message", "locale"}); all || any {
		t.Errorf("marked %+v", fields)
	}
	if all, any := markCorrected(fields, []string{"last_name"}); all || !any || !fields[0].Corrected {
		t.Errorf("marked %+v", fields)
	}
	if all, _ := markCorrected(fields[:1], nil); !all {
		t.Error("the fields are not all corrected")
	}
}
