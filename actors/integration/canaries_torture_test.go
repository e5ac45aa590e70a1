//go:build torture

package integration_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
)

const (
	canaryStormSecrets = 100_000
	canaryStormUsers   = 4
)

// TestCanaryStorm: a hundred thousand secrets, or as many as WEFT_TORTURE_DURATION is long, through connect, refresh, execute
// and fail; none is found in logs, metrics, answers, databases or streams.
func TestCanaryStorm(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("WEFT_TORTURE_DURATION"))
	if err != nil {
		duration = 10 * time.Second
	}
	databases := actortest.Databases(t)
	c := newCanaries(t, databases[len(databases)-1])
	end := time.Now().Add(duration)
	var users sync.WaitGroup
	for range canaryStormUsers {
		users.Go(func() {
			for c.made.Load() < canaryStormSecrets && time.Now().Before(end) && !t.Failed() {
				c.life(t)
			}
		})
	}
	users.Wait()
	t.Logf("%d secrets, %d refreshes, %d bytes of log", c.made.Load(), c.v.count("refresh_token"), len(c.log.bytes()))
	c.search(t)
}
