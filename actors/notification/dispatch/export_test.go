package dispatch

import "time"

// SetLease changes the length of leases and how often they are renewed.
func (d *Dispatcher) SetLease(length, renewal time.Duration) {
	d.leaseFor, d.leaseRenewal = length, renewal
	d.scheduler.margin = length / 4
}

// Judge is judge without jitter's randomness in its type.
func Judge(status, n int, retryAfter time.Duration, schedule []time.Duration) (succeeded, final, unwanted bool, delay time.Duration) {
	v := judge(status, n, retryAfter, schedule)
	return v.succeeded, v.final, v.unwanted, v.delay
}

// Pause has the dispatcher start and load nothing more, as a process that was stopped. Attempts in flight end and are recorded.
func (d *Dispatcher) Pause() { d.scheduler.stop() }

// Wake has the dispatcher look for due deliveries at once.
func (d *Dispatcher) Wake() { d.poll.Notify() }

// Loaded is the number of deliveries that wait in memory for an attempt.
func (d *Dispatcher) Loaded() int {
	d.scheduler.mu.Lock()
	defer d.scheduler.mu.Unlock()
	return d.scheduler.loaded
}
