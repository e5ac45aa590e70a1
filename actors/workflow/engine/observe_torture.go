//go:build torture

package engine

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

// pulsePeriod is the time between two beats of the pulse. A beat that comes later by more than pulseSlack says that the process got
// no processor.
const (
	pulsePeriod = 2 * time.Millisecond
	pulseSlack  = 2 * time.Millisecond
)

// pulse measures when the process gets no processor: it is paused, or others are preferred.
type pulse struct {
	mu   sync.Mutex
	last time.Time
	// stalls are the intervals between two beats that were too long, of the last minutes.
	stalls []stall
}

type stall struct{ from, until time.Time }

var (
	// timerRecord is the file WEFT_TORTURE_TIMERS, which gets the timers that fire, as lines of JSON; nil: none does.
	timerRecord *os.File
	beats       pulse
	openRecord  = sync.OnceFunc(func() {
		path := os.Getenv("WEFT_TORTURE_TIMERS")
		if path == "" {
			return
		}
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		timerRecord = file
		beats.last = time.Now()
		go beats.run()
	})
)

// startObserving begins to measure where the process gets no processor.
func startObserving() { openRecord() }

func (p *pulse) run() {
	for range time.Tick(pulsePeriod) {
		p.beat(time.Now())
	}
}

func (p *pulse) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) > pulsePeriod+pulseSlack {
		p.stalls = append(p.stalls, stall{p.last.Add(pulsePeriod), now})
		if len(p.stalls) > 20_000 {
			p.stalls = p.stalls[10_000:]
		}
	}
	p.last = now
}

// stalled is how much of an interval the process got no processor.
func (p *pulse) stalled(from, until time.Time) (total time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.stalls
	if until.Sub(p.last) > pulsePeriod+pulseSlack {
		all = append(all[:len(all):len(all)], stall{p.last.Add(pulsePeriod), until})
	}
	for i := len(all) - 1; i >= 0 && all[i].until.After(from); i-- {
		begin, end := all[i].from, all[i].until
		if begin.Before(from) {
			begin = from
		}
		if end.After(until) {
			end = until
		}
		total += max(0, end.Sub(begin))
	}
	return total
}

// observeTimer records a timer that fires.
func observeTimer(t firedTimer) {
	if timerRecord == nil {
		return
	}
	line, err := json.Marshal(struct {
		firedTimer
		Stalled time.Duration `json:"stalled"`
	}{t, beats.stalled(t.From, t.Fired)})
	if err == nil {
		_, err = timerRecord.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}
