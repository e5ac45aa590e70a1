package engine

import (
	"encoding/json"
	"slices"
	"time"

	"go.uber.org/zap"
)

// heartbeat is the message in which a process announces its partitions to the others, those that it is taking over included.
type heartbeat struct {
	Process    string `json:"process"`
	Partitions []int  `json:"partitions"`
	// Leaving: it is stopping, and takes no partitions.
	Leaving bool `json:"leaving,omitempty"`
}

// beat sends a heartbeat, also while a partition is being taken over, which may take long. It notices that this process was paused.
func (e *Engine) beat() {
	o := e.ownership
	now := time.Now()
	o.mu.Lock()
	if !o.beatAt.IsZero() && now.Sub(o.beatAt) > peerTimeout/2 {
		o.staleUntil = now.Add(discoveryTime)
	}
	o.beatAt = now
	o.mu.Unlock()
	e.announce(false)
}

// wasPaused reports whether this process was paused and has not heard of every live process since.
func (o *ownership) wasPaused() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.beatAt) > peerTimeout/2 || time.Now().Before(o.staleUntil)
}

// announce sends this process's heartbeat.
func (e *Engine) announce(leaving bool) {
	if e.single {
		return
	}
	h := heartbeat{Process: e.ownership.process, Leaving: leaving}
	for _, p := range e.owned() {
		h.Partitions = append(h.Partitions, p.number)
	}
	e.ownership.mu.Lock()
	for _, number := range e.ownership.acquiring {
		if e.ownership.owned[number] == nil {
			h.Partitions = append(h.Partitions, number)
		}
	}
	e.ownership.mu.Unlock()
	data, err := json.Marshal(h)
	if err == nil {
		err = e.bus.broadcast(data)
	}
	if err != nil {
		e.Log.Warn("sending a heartbeat", zap.Error(err))
	}
}

// onHeartbeat records what another process owns. A new one is answered at once, so that it knows of this one.
func (e *Engine) onHeartbeat(data []byte) {
	var h heartbeat
	if json.Unmarshal(data, &h) != nil || h.Process == "" || h.Process == e.ownership.process {
		return
	}
	o := e.ownership
	o.mu.Lock()
	before, known := o.peers[h.Process]
	if h.Leaving {
		delete(o.peers, h.Process)
	} else {
		o.peers[h.Process] = peer{heartbeat: h, at: time.Now()}
	}
	o.mu.Unlock()
	if !known && !h.Leaving {
		e.announce(e.Stopping())
	}
	for _, number := range h.Partitions {
		if p := e.partition(number); p != nil {
			e.background.Go(func() { _ = p.verifyOwnership(p.ctx) })
		}
	}
	if !known || h.Leaving || !slices.Equal(before.Partitions, h.Partitions) {
		o.changed.Notify()
	}
}
