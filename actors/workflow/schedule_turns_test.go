package workflow

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestUsersTakeTurns: a user for whom a function runs is left out, and of the others the one that was served longest ago comes first,
// whatever the order in which they are given.
func TestUsersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newScheduleTurns(2)
		defer turns.wait()
		release := make(chan struct{})
		turns.run("ada", func() { <-release })
		if got := turns.order([]string{"ada", "bob", "eve"}); !slices.Equal(got, []string{"bob", "eve"}) {
			t.Errorf("while one runs: %v", got)
		}
		turns.run("bob", func() {})
		synctest.Wait()
		turns.run("eve", func() {})
		synctest.Wait()
		close(release)
		synctest.Wait()
		if got := turns.order([]string{"eve", "bob", "ada", "new"}); !slices.Equal(got, []string{"new", "ada", "bob", "eve"}) {
			t.Errorf("the order is %v", got)
		}
		started := time.Now()
		for _, user := range []string{"ada", "bob", "eve", "new"} {
			turns.run(user, func() { <-time.After(time.Second) })
		}
		turns.wait()
		if took := time.Since(started); took != 2*time.Second {
			t.Errorf("four functions of a second took %s with two workers", took)
		}
	})
}
