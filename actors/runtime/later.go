package runtime

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/wait"
)

const (
	// asideRefresh is how old the knowledge of what other processes have deferred may be.
	asideRefresh = time.Second
	// takeAtOnce bounds the messages of one user that are taken at once.
	takeAtOnce = 8
)

// consumeAside takes the messages that were deferred when they are due, from one user after another, until the runtime stops.
func (c *consumer) consumeAside() {
	last := ""
	for !c.r.isStopping() {
		if err := c.refresh(); err != nil && !c.r.isStopping() {
			c.r.Telemetry.Log.Warn("what was deferred is not known", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
		}
		c.r.metrics.deferred.WithLabelValues(c.r.service.Name).Set(float64(c.r.Deferred.Count()))
		taken, served, next := c.takeDue(last)
		last = served
		if taken > 0 {
			continue
		}
		_ = wait.Until(c.r.accepting, c.wake.C(), min(asideRefresh, max(time.Until(next), time.Millisecond)))
	}
	c.returnAside()
}

func (c *consumer) refresh() error {
	ctx, cancel := context.WithTimeout(c.r.accepting, settleTimeout)
	defer cancel()
	return c.r.Deferred.Refresh(ctx, asideRefresh)
}

// returnAside gives back what waits for a place when the runtime stops.
func (c *consumer) returnAside() {
	for _, d := range c.later.close() {
		c.returnOne(d)
	}
}

// returnOne has a message that was taken and not handled be taken again at once, by any process.
func (c *consumer) returnOne(d *delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	d.stored.Tries--
	if err := c.again(ctx, d, 0); err != nil {
		c.r.Telemetry.Log.Warn("message not given back", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
	}
}

// takeDue takes the messages of the users after last, for as long as there are free places. It returns how many it took, the last user
// whom it served, and when the next messages are due.
func (c *consumer) takeDue(last string) (taken int, served string, next time.Time) {
	users, next := c.r.Deferred.Due(c.w.Consumer.Durable)
	first, _ := slices.BinarySearch(users, last+"\x00")
	served = last
	for i := range users {
		userID := users[(first+i)%len(users)]
		free := min(c.later.free(userID), takeAtOnce)
		if free == 0 {
			continue
		}
		messages, err := c.r.Deferred.Take(c.r.work, c.w.Consumer.Durable, userID, free, c.w.Consumer.AckWait)
		if err != nil {
			c.r.Telemetry.Log.Warn("messages that were deferred not taken", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
			_ = wait.Sleep(c.r.accepting, restartDelay)
			return taken, served, next
		}
		for _, m := range messages {
			c.later.offer(asideDelivery(m), true)
		}
		if len(messages) > 0 {
			served = userID
		}
		taken += len(messages)
	}
	return taken, served, next
}
