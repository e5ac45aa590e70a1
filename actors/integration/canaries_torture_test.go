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

// TestCanaryStorm uses a hundred thousand secrets, or as many as fit in WEFT_TORTURE_DURATION, in connect, refresh, execute
// and failures. None may appear in logs, metrics, responses, databases or streams.
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
				c.lifecycle(t)
			}
		})
	}
	users.Wait()
	t.Logf("%d secrets, %d refreshes, %d bytes of log", c.made.Load(), c.v.count("refresh_token"), len(c.log.bytes()))
	c.search(t)
}
