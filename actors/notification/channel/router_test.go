package channel_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// provider is a provider whose behaviour a test decides for each call.
type provider struct {
	name  string
	calls []string
	send  func(ctx context.Context, m channel.Message) (channel.Receipt, error)
}

func (p *provider) Name() string { return p.name }

func (p *provider) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	p.calls = append(p.calls, m.ID)
	if p.send == nil {
		return channel.Receipt{Provider: p.name, MessageID: m.ID}, nil
	}
	return p.send(ctx, m)
}

func failing(name string, e channel.Error) *provider {
	return &provider{name: name, send: func(context.Context, channel.Message) (channel.Receipt, error) { return channel.Receipt{}, &e }}
}

func message(id string) channel.Message {
	return channel.Message{ID: id, Address: channel.Address{To: "+15005550006"}}
}

// firstFor returns an id whose first provider is the first of the entries.
func firstFor(t *testing.T, names ...string) string {
	t.Helper()
	for i := range 1000 {
		id := fmt.Sprint("m", i)
		var entries []channel.Entry
		for _, name := range names {
			entries = append(entries, channel.Entry{Provider: &provider{name: name}, Weight: 1})
		}
		if r, _ := channel.NewRouter(channel.Options{}, entries...).Send(t.Context(), message(id)); r.Provider == names[0] {
			return id
		}
	}
	t.Fatal("no message begins with " + names[0])
	return ""
}

func TestWeights(t *testing.T) {
	t.Parallel()
	const messages = 20000
	router := func(weights map[string]int) *channel.Router {
		var entries []channel.Entry
		for name, weight := range weights {
			entries = append(entries, channel.Entry{Provider: &provider{name: name}, Weight: weight})
		}
		return channel.NewRouter(channel.Options{}, entries...)
	}
	weights := map[string]int{"twilio": 7, "sns": 2, "other": 1}
	first, got := map[string]string{}, map[string]int{}
	r, again := router(weights), router(weights)
	for i := range messages {
		id := fmt.Sprint("0190f3a2-7b1e-7c3d-8e4f-", i)
		receipt, err := r.Send(t.Context(), message(id))
		same, _ := again.Send(t.Context(), message(id))
		if err != nil || receipt != same {
			t.Fatalf("%s: %v, %+v and then %+v", id, err, receipt, same)
		}
		first[id] = receipt.Provider
		got[receipt.Provider]++
	}
	for name, weight := range weights {
		if share := float64(got[name]) / messages; math.Abs(share-float64(weight)/10) > .015 {
			t.Errorf("%s has %.3f of the messages, of weight %d in 10", name, share, weight)
		}
	}
	// Without one provider only its messages move.
	without := router(map[string]int{"twilio": 7, "other": 1})
	for id, name := range first {
		if receipt, _ := without.Send(t.Context(), message(id)); name != "sns" && receipt.Provider != name {
			t.Fatalf("%s moved from %s to %s", id, name, receipt.Provider)
		}
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	id := firstFor(t, "a", "b")
	for _, c := range []struct {
		name  string
		first channel.Error
		asked bool
		class channel.Class
	}{
		{"transient", channel.Error{Class: channel.Transient}, true, ""},
		{"throttled", channel.Error{Class: channel.Throttled, RetryAfter: time.Minute}, true, ""},
		{"permanent", channel.Error{Class: channel.Permanent}, false, channel.Permanent},
		{"suppressed", channel.Error{Class: channel.Suppressed}, false, channel.Suppressed},
		{"uncertain", channel.Error{Class: channel.Transient, Uncertain: true, Detail: "no answer"}, false, channel.Permanent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := failing("a", c.first), &provider{name: "b"}
			r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: a, Weight: 1}, channel.Entry{Provider: b, Weight: 1})
			receipt, err := r.Send(t.Context(), message(id))
			if (len(b.calls) == 1) != c.asked || (err == nil) != c.asked || len(a.calls) != 1 {
				t.Fatalf("b was asked %d times: %+v, %v", len(b.calls), receipt, err)
			}
			var e *channel.Error
			if err != nil && (!errors.As(err, &e) || e.Class != c.class || e.Provider != "a" || e.Uncertain != c.first.Uncertain) {
				t.Errorf("got %#v", err)
			}
		})
	}
}

// An idempotent provider is asked again where the outcome is unknown, and no other one.
func TestUncertainAtAnIdempotentProvider(t *testing.T) {
	t.Parallel()
	id := firstFor(t, "a", "b")
	a, b := failing("a", channel.Error{Class: channel.Transient, Uncertain: true}), &provider{name: "b"}
	r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: a, Weight: 1, Idempotent: true}, channel.Entry{Provider: b, Weight: 1})
	_, err := r.Send(t.Context(), message(id))
	var e *channel.Error
	if !errors.As(err, &e) || e.Class != channel.Transient || !e.Uncertain || e.Provider != "a" || len(a.calls) != 2 || len(b.calls) != 0 {
		t.Fatalf("got %#v after %d and %d calls", err, len(a.calls), len(b.calls))
	}
	// The next attempt, which the caller binds to the provider, goes to no other one, even while its breaker is open.
	m := message(id)
	m.Provider = e.Provider
	for range 10 {
		_, err = r.Send(t.Context(), m)
	}
	if !errors.As(err, &e) || e.Class != channel.Throttled || e.RetryAfter <= 0 || len(b.calls) != 0 {
		t.Errorf("got %#v after %d calls of b", err, len(b.calls))
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	fcm, apns := &provider{name: "fcm"}, &provider{name: "apns"}
	r := channel.NewRouter(channel.Options{},
		channel.Entry{Provider: fcm, Weight: 1, Platform: "fcm"}, channel.Entry{Provider: apns, Weight: 1, Platform: "apns"})
	for _, platform := range []string{"fcm", "apns"} {
		m := message("1")
		m.Address.Platform = platform
		if receipt, err := r.Send(t.Context(), m); err != nil || receipt.Provider != platform {
			t.Errorf("%s: got %+v, %v", platform, receipt, err)
		}
	}
	m := message("1")
	m.Address.Platform = "web"
	if _, err := r.Send(t.Context(), m); !errors.Is(err, channel.ErrNoProvider) || channel.ClassOf(err) != channel.Permanent || r.Serves(m.Address) {
		t.Errorf("without a provider: %v", err)
	}
}

// A breaker opens after failures of the provider, not of the message or the rate; messages go to the other one until it has closed.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := true
		class := channel.Permanent
		a := &provider{name: "a", send: func(context.Context, channel.Message) (channel.Receipt, error) {
			if down {
				return channel.Receipt{}, &channel.Error{Class: class}
			}
			return channel.Receipt{Provider: "a"}, nil
		}}
		var changes []string
		r := channel.NewRouter(channel.Options{Changed: func(name, from, to string) { changes = append(changes, name+" "+from+" "+to) }},
			channel.Entry{Provider: a, Weight: 1000}, channel.Entry{Provider: &provider{name: "b"}, Weight: 1})
		send := func(n int) (providers map[string]int) {
			providers = map[string]int{}
			for i := range n {
				receipt, _ := r.Send(t.Context(), message(fmt.Sprint(i)))
				providers[receipt.Provider]++
			}
			return providers
		}
		send(50)
		class = channel.Throttled
		send(50)
		<-time.After(2 * time.Second) // the pause of a provider that throttles
		if len(a.calls) < 50 || len(changes) != 0 || r.State("a", channel.Address{}) != "closed" {
			t.Fatalf("%d calls, %v", len(a.calls), changes)
		}
		class, a.calls = channel.Transient, nil
		if got := send(50); len(a.calls) != 5 || got["b"] != 50 || r.State("a", channel.Address{}) != "open" {
			t.Fatalf("%d calls, %v, %v", len(a.calls), got, changes)
		}
		down = false
		<-time.After(61 * time.Second)
		if got := send(50); got["a"] < 45 || r.State("a", channel.Address{}) != "closed" {
			t.Errorf("%v, %v", got, changes)
		}
		if fmt.Sprint(changes) != "[a closed open a open half_open a half_open closed]" {
			t.Errorf("%v", changes)
		}
	})
}

// A provider with several servers has a breaker for each.
func TestBreakerOfEachHost(t *testing.T) {
	t.Parallel()
	web := &provider{name: "web", send: func(_ context.Context, m channel.Message) (channel.Receipt, error) {
		if m.Address.To == "dead" {
			return channel.Receipt{}, &channel.Error{Class: channel.Transient}
		}
		return channel.Receipt{Provider: "web"}, nil
	}}
	r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: web, Weight: 1, Host: func(a channel.Address) string { return a.To }})
	for range 10 {
		_, _ = r.Send(t.Context(), channel.Message{ID: "1", Address: channel.Address{To: "dead"}})
	}
	_, err := r.Send(t.Context(), channel.Message{ID: "1", Address: channel.Address{To: "alive"}})
	if err != nil || r.State("web", channel.Address{To: "dead"}) != "open" || r.State("web", channel.Address{To: "alive"}) != "closed" {
		t.Errorf("%v, %s", err, r.State("web", channel.Address{To: "dead"}))
	}
}

// A provider that hangs before it has the message costs its time-out; another one is asked where time is left.
func TestTimeLeft(t *testing.T) {
	t.Parallel()
	id := firstFor(t, "a", "b")
	for limit, want := range map[time.Duration]bool{30 * time.Second: true, 16 * time.Second: true, 5 * time.Second: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			a := &provider{name: "a", send: func(ctx context.Context, _ channel.Message) (channel.Receipt, error) {
				<-ctx.Done()
				return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "no connection"}
			}}
			b := &provider{name: "b"}
			r := channel.NewRouter(channel.Options{}, channel.Entry{Provider: a, Weight: 1}, channel.Entry{Provider: b, Weight: 1})
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begin := time.Now()
			_, err := r.Send(ctx, message(id))
			if (err == nil) != want || (len(b.calls) == 1) != want || time.Since(begin) > limit {
				t.Errorf("within %s: %v, b was asked %d times, after %s", limit, err, len(b.calls), time.Since(begin))
			}
			if limit == time.Second && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// outcomes are what a provider of TestSeededFaults may do.
const (
	accepts = iota
	acceptsSilently
	refuses
	hangs
	cuts
	throttles
	unclassified
	rejects
)

// TestSeededFaults gives messages to providers that fail in every way, each retried as a job is, and checks that no message reaches a
// person twice: at most one provider has accepted it, and one that is not idempotent has it once.
func TestSeededFaults(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		idempotent := rapid.Bool().Draw(rt, "idempotent")
		faults := rapid.SliceOfN(rapid.IntRange(accepts, rejects), 4, 12).Draw(rt, "faults")
		synctest.Test(t, func(*testing.T) { seededRun(t, seed, idempotent, faults) })
	})
}

func seededRun(t *testing.T, seed uint64, idempotent bool, faults []int) {
	random := rand.New(rand.NewPCG(seed, 1))
	accepted := map[string]map[string]int{}
	var entries []channel.Entry
	for i := range 3 {
		name := string(rune('a' + i))
		accept := func(m channel.Message) {
			if accepted[m.ID] == nil {
				accepted[m.ID] = map[string]int{}
			}
			accepted[m.ID][name]++
		}
		p := &provider{name: name, send: func(ctx context.Context, m channel.Message) (channel.Receipt, error) {
			uncertain := &channel.Error{Class: channel.Transient, Uncertain: true}
			switch faults[random.IntN(len(faults))] {
			case acceptsSilently:
				accept(m)
				<-ctx.Done()
				return channel.Receipt{}, uncertain
			case refuses:
				return channel.Receipt{}, &channel.Error{Class: channel.Transient}
			case hangs:
				<-ctx.Done()
				return channel.Receipt{}, &channel.Error{Class: channel.Transient, Cause: ctx.Err()}
			case unclassified:
				return channel.Receipt{}, errors.New("connection reset by peer")
			case cuts:
				return channel.Receipt{}, uncertain
			case throttles:
				return channel.Receipt{}, &channel.Error{Class: channel.Throttled, RetryAfter: time.Duration(random.IntN(90)) * time.Second}
			case rejects:
				return channel.Receipt{}, &channel.Error{Class: channel.Permanent}
			}
			accept(m)
			return channel.Receipt{Provider: name, MessageID: m.ID}, nil
		}}
		entries = append(entries, channel.Entry{Provider: p, Weight: 1 + random.IntN(5), Idempotent: idempotent})
	}
	r := channel.NewRouter(channel.Options{}, entries...)
	for i := range 40 {
		m := message(fmt.Sprint(seed, i))
		for range 5 {
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			begin := time.Now()
			receipt, err := r.Send(ctx, m)
			cancel()
			if took := time.Since(begin); took > 41*time.Second {
				t.Fatalf("an attempt took %s", took)
			}
			if err == nil {
				if accepted[m.ID][receipt.Provider] == 0 {
					t.Fatalf("%s has not accepted %s", receipt.Provider, m.ID)
				}
				break
			}
			var e *channel.Error
			if errors.As(err, &e) && (e.Class == channel.Permanent || e.Class == channel.Suppressed) {
				break
			}
			if e != nil && e.Uncertain {
				m.Provider = e.Provider
			}
			<-time.After(5 * time.Second)
		}
		if len(accepted[m.ID]) > 1 {
			t.Fatalf("%s was accepted by %v", m.ID, accepted[m.ID])
		}
		for name, n := range accepted[m.ID] {
			if n > 1 && !idempotent {
				t.Fatalf("%s accepted %s %d times", name, m.ID, n)
			}
		}
	}
}
