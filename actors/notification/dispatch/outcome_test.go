package dispatch_test

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// A delivery ends with a 2xx answer, with 410, or after the last attempt of its schedule. The next attempt is never in the past, and within
// 10 % of the schedule's delay unless the answer asked for more, which is bounded by a day.
func TestJudge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		schedule := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "delay"))
		}), 0, 6).Draw(t, "schedule")
		status := rapid.OneOf(rapid.IntRange(100, 599), rapid.SampledFrom([]int{0, 200, 204, 301, 410, 429, 500, 503})).Draw(t, "status")
		n := rapid.IntRange(1, len(schedule)+1).Draw(t, "n")
		asked := time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "asked"))
		succeeded, final, gone, delay := dispatch.Judge(status, n, asked, schedule)
		switch {
		case succeeded != (status >= 200 && status <= 299), gone != (status == http.StatusGone):
			t.Fatalf("%d: succeeded %t, gone %t", status, succeeded, gone)
		case final != (succeeded || gone || n > len(schedule)):
			t.Fatalf("attempt %d of %d with %d: final %t", n, len(schedule)+1, status, final)
		case final:
			return
		}
		planned := schedule[n-1]
		least, most := planned*9/10-time.Millisecond, planned*11/10+2*time.Millisecond
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			asked = min(asked, dispatch.MaxRetryAfter)
			least, most = max(least, asked), max(most, asked)
		}
		if delay <= 0 || delay < least || delay > most {
			t.Fatalf("%d with Retry-After %s after a delay of %s: %s", status, asked, planned, delay)
		}
	})
}
