package main

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/runtime"
)

const (
	// endWithin bounds the end of a process after SIGTERM, unless gateway.drain_timeout asks for more.
	endWithin = 29 * time.Second
	// afterGateway is what actors and stores have at least once the gateway has drained.
	afterGateway = endWithin - 15*time.Second
	// leastDrain is what running work of actors has at least, also when the gateway took all the time.
	leastDrain = 2 * time.Second
	// closingTime is what remains for closing stores once the work of actors has ended.
	closingTime = endWithin - runtime.DrainTimeout
)

// stopping bounds the end of a process. What was acknowledged is stored, so that a process that ends while something hangs loses nothing.
type stopping struct {
	within time.Duration
	// since is when the process began to stop, in nanoseconds since the Unix epoch; 0 while it runs.
	since atomic.Int64
	stop  func() bool
	ended chan struct{}
}

// newStopping ends the process when it takes too long to stop once ctx has ended.
func newStopping(ctx context.Context, c Config, log *zap.Logger) *stopping {
	s := &stopping{within: max(endWithin, c.Gateway.DrainTimeout+afterGateway), ended: make(chan struct{})}
	s.stop = context.AfterFunc(ctx, func() {
		s.since.Store(time.Now().UnixNano())
		select {
		case <-s.ended:
		case <-time.After(s.within):
			log.Error("stopping took too long; the process ends without waiting any longer", zap.Duration("after", s.within))
			_ = log.Sync()
			os.Exit(exitFailure) //nolint:forbidigo // main hangs in what does not end
		}
	})
	return s
}

// left is how long running work of actors may take.
func (s *stopping) left() time.Duration {
	since := s.since.Load()
	if since == 0 { // an actor failed
		return runtime.DrainTimeout
	}
	return max(leastDrain, s.within-closingTime-time.Since(time.Unix(0, since)))
}

// end says that the process has stopped.
func (s *stopping) end() {
	s.stop()
	close(s.ended)
}
