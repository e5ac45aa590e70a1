package channel_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// bad is an address whose messages fail.
const bad = "bad@example.com"

// TestOpenBreakerOfOneProvider has users whose messages fail open the breaker of the only provider. Others' messages are still sent, and close it.
func TestOpenBreakerOfOneProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		a := &provider{name: "a", send: func(_ context.Context, m channel.Message) (channel.Receipt, error) {
			if m.Address.To == bad {
				return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "no answer"}
			}
			return channel.Receipt{Provider: "a"}, nil
		}}
		r := channel.NewRouter(channel.Options{Changed: func(_, from, to string) { changes = append(changes, from+" "+to) }},
			channel.Entry{Provider: a, Weight: 1})
		send := func(user, to string) error {
			_, err := r.Send(t.Context(), channel.Message{ID: user, UserID: user, Address: channel.Address{To: to}})
			return err
		}
		for i := range 5 {
			_ = send(fmt.Sprint("attacker", i), bad)
		}
		if r.State("a", channel.Address{}) != "open" {
			t.Fatal("the breaker is not open")
		}
		asked := len(a.calls)
		if err := send("attacker1", bad); channel.ClassOf(err) != channel.Throttled || len(a.calls) != asked {
			t.Errorf("a user who fails: %v, asked %d times", err, len(a.calls)-asked)
		}
		if err := send("victim", "good@example.com"); err != nil || r.State("a", channel.Address{}) != "closed" {
			t.Errorf("another user: %v, the breaker is %s", err, r.State("a", channel.Address{}))
		}
		if fmt.Sprint(changes) != "[closed open open closed]" {
			t.Errorf("%v", changes)
		}
	})
}

// hanging is a provider that does not answer. It counts the attempts in flight.
type hanging struct{ inFlight, most atomic.Int64 }

func (*hanging) Name() string { return "hanging" }

func (h *hanging) Send(ctx context.Context, _ channel.Message) (channel.Receipt, error) {
	if n := h.inFlight.Add(1); n > h.most.Load() {
		h.most.Store(n)
	}
	defer h.inFlight.Add(-1)
	<-ctx.Done()
	return channel.Receipt{}, &channel.Error{Class: channel.Transient, Cause: ctx.Err()}
}

// TestProbesAreBounded sends by a provider that hangs. Once its breaker is open, eight attempts are in flight at most.
func TestProbesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{}
		r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: h, Weight: 1})
		send := func(users int, prefix string) {
			var sends sync.WaitGroup
			for i := range users {
				sends.Go(func() { _, _ = r.Send(t.Context(), channel.Message{ID: "1", UserID: prefix + fmt.Sprint(i)}) })
			}
			sends.Wait()
		}
		send(5, "first")
		h.most.Store(0)
		send(50, "second")
		if r.State("hanging", channel.Address{}) != "open" || h.most.Load() != 8 {
			t.Errorf("the breaker is %s, %d attempts were in flight", r.State("hanging", channel.Address{}), h.most.Load())
		}
	})
}

// TestRecipientsDoNotCount: answers about one recipient neither open the breaker nor pause the provider.
func TestRecipientsDoNotCount(t *testing.T) {
	t.Parallel()
	for _, class := range []channel.Class{channel.Transient, channel.Throttled} {
		a := &provider{name: "a", send: func(_ context.Context, m channel.Message) (channel.Receipt, error) {
			if m.Address.To == bad {
				return channel.Receipt{}, &channel.Error{Class: class, Recipient: true}
			}
			return channel.Receipt{Provider: "a"}, nil
		}}
		r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: a, Weight: 1})
		for i := range 40 {
			_, _ = r.Send(t.Context(), channel.Message{ID: "1", UserID: fmt.Sprint(i), Address: channel.Address{To: bad}})
		}
		if r.State("a", channel.Address{}) != "closed" {
			t.Errorf("%s: the breaker is %s", class, r.State("a", channel.Address{}))
		}
		if _, err := r.Send(t.Context(), channel.Message{ID: "2", Address: channel.Address{To: "good@example.com"}}); err != nil {
			t.Errorf("%s: %v", class, err)
		}
	}
}
