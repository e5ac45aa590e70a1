//go:build torture

package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// terminateWithin bounds the termination of a process by SIGTERM, and restartWithin its start with the data that an attack has left.
const (
	terminateWithin = 30 * time.Second
	restartWithin   = 30 * time.Second
)

// site is a weft under attack: one process, or several that share a database. Its address stays the same over restarts.
type site struct {
	t        *testing.T
	url      string
	programs []program
	running  []*confined
	mail     *hostileMailServer
}

// newSingleSite returns `weft up` with SQLite and embedded NATS.
func newSingleSite(t *testing.T) *site {
	t.Helper()
	address, mail := freePort(t), startHostileMailServer(t)
	p := upProgram(t, t.TempDir(), append(isolationSettings(), mail.settings()...)...)
	p.args = append(p.args, "--http", address, "--nats", freePort(t))
	return &site{t: t, url: "http://" + address, programs: []program{p}, mail: mail}
}

// asTarget is the site as the attackers see it.
func (s *site) asTarget() attackTarget {
	weft := s.running[0]
	at := attackTarget{URL: s.url, NATS: weft.ready.NATS}
	if weft.ready.Data != "" {
		at.Keys = filepath.Join(weft.ready.Data, "nats", "keys")
	}
	return at
}

// isolationSettings are the settings of a process under attack: rate limits are out of the way, all other bounds have their defaults.
func isolationSettings() []string {
	return []string{"WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=error", "WEFT_AUTH_ACCESS_TTL=24h"}
}

// start starts the processes in their order, and returns once /readyz answers 200.
func (s *site) start() (time.Duration, error) {
	from := time.Now()
	s.running = nil
	for _, p := range s.programs {
		c, err := startConfined(s.t, p)
		if err != nil {
			return time.Since(from), err
		}
		s.running = append(s.running, c)
	}
	probe := newClient(s.url)
	probe.http.Timeout = time.Second
	for time.Since(from) < restartWithin {
		if a, err := probe.do(s.t.Context(), http.MethodGet, "/readyz", nil); err == nil && a.status == http.StatusOK {
			return time.Since(from), nil
		}
		<-time.After(5 * time.Millisecond) // until it is ready
	}
	return time.Since(from), fmt.Errorf("/readyz is not 200 within %s", restartWithin)
}

// stop sends SIGTERM to all processes and returns how long the slowest took.
func (s *site) stop() (time.Duration, error) {
	from := time.Now()
	results := make(chan error, len(s.running))
	for _, c := range s.running {
		go func() { results <- c.terminate() }()
	}
	var all []error
	for range s.running {
		all = append(all, <-results)
	}
	return time.Since(from), errors.Join(all...)
}

// terminate sends SIGTERM. The process must exit with 0 within terminateWithin.
func (c *confined) terminate() error {
	if c.killed.Load() {
		return nil
	}
	if !c.alive() {
		return errors.New(c.fate())
	}
	from := time.Now()
	if err := c.running.stop(); err != nil {
		if c.note(); c.exceeded.Load() {
			return errors.New(c.fate())
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		return errors.New(first)
	}
	if took := time.Since(from); took > terminateWithin {
		return fmt.Errorf("%s took %s to stop", c.name, took.Round(time.Second))
	}
	return nil
}

// end kills what still runs.
func (s *site) end() {
	for _, c := range s.running {
		c.end()
	}
}

// dead says which processes have exited, other than those that were killed on purpose; "" if none has.
func (s *site) dead() string {
	var all []string
	for _, c := range s.running {
		if !c.alive() && !c.killed.Load() {
			all = append(all, c.fate())
		}
	}
	return strings.Join(all, "; ")
}

// exited is closed once one of the processes has exited by itself.
func (s *site) exited() <-chan struct{} {
	one := make(chan struct{})
	var first sync.Once
	for _, c := range s.running {
		go func() {
			<-c.exited
			if !c.killed.Load() {
				first.Do(func() { close(one) })
			}
		}()
	}
	return one
}

// peak and resident return the highest peak and resident size of a process, in megabytes.
func (s *site) peak() (most int64) {
	for _, c := range s.running {
		most = max(most, c.peak.Load()>>20)
	}
	return most
}

func (s *site) resident() (most int64) {
	for _, c := range s.running {
		most = max(most, c.resident()>>20)
	}
	return most
}
