//go:build torture

package e2e_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// generated has the definitions that were composed for an attack. Each is reproduced from the seed and its number.
type generated struct {
	seed uint64
	mu   sync.Mutex
	sent []sentDefinition
}

// sentDefinition is a definition that was sent. took is 0 while there is no answer.
type sentDefinition struct {
	n    uint64
	at   time.Time
	took time.Duration
}

// tortureSeed returns WEFT_TORTURE_SEED, or a random seed.
func tortureSeed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("WEFT_TORTURE_SEED")
	if text == "" {
		return rand.Uint64() >> 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// attackGenerated sends definitions that a grammar composes, and executes those that are accepted.
func attackGenerated(b *attackers) {
	b.generated = &generated{seed: b.seed}
	b.crowd(8, func(n int) bool {
		d, input := compose(b.seed, uint64(n))
		sent := b.generated.begin(uint64(n))
		b.attackWith(b.user(n), n, d, input)
		b.generated.end(sent)
		return true
	})
}

// compose returns a definition and an input, of at most the sizes that weft accepts.
func compose(seed, n uint64) (definition object, input any) {
	g := newGrammar(seed, n)
	for definition == nil || roomAfter(definition, 500_000) < 0 {
		g.tasks = 12
		definition = g.definition()
	}
	for input = g.data(4); roomAfter(input, 250_000) < 0; {
		input = g.data(4)
	}
	return definition, input
}

// roomAfter returns what is left of a number of bytes once a value is encoded as JSON; a negative number if they are too few.
func roomAfter(v any, room int) int {
	if room < 0 {
		return room
	}
	switch v := v.(type) {
	case string:
		return room - len(v) - 2
	case object:
		for name, part := range v {
			room = roomAfter(part, room-len(name)-4)
		}
	case []any:
		for _, part := range v {
			room = roomAfter(part, room-1)
		}
	}
	return room - 4
}

// attackWith validates or creates and executes a definition.
func (b *attackers) attackWith(c *client, n int, definition object, input any) {
	text, err := json.Marshal(definition)
	if err != nil {
		b.t.Error(err)
		return
	}
	if n%4 == 0 {
		b.validate(c, string(text))
	}
	id := b.create(c, string(text))
	if id == "" {
		return
	}
	if n%3 == 0 {
		b.begin(c, id, input)
	} else {
		b.post(c, "execute", "/v1/workflows/"+id+"/execute", object{"input": input, "timeout": 2})
	}
	if definition["schedule"] != nil {
		b.publish(c, "bad.told", input)
	}
}

// begin records that a definition is sent, end that it was answered.
func (g *generated) begin(n uint64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, sentDefinition{n: n, at: time.Now()})
	return len(g.sent) - 1
}

func (g *generated) end(sent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent[sent].took = time.Since(g.sent[sent].at)
}

// shrinkFor bounds the search for the definition that hurt the bystander.
const shrinkFor = 90 * time.Second

// explain looks for one definition that hurts a bystander by itself, makes it smaller and logs it.
func (g *generated) explain(t *testing.T) {
	g.mu.Lock()
	suspects := slices.Clone(g.sent)
	g.mu.Unlock()
	cost := func(s sentDefinition) time.Duration {
		if s.took == 0 {
			return time.Hour - time.Since(s.at) // of those without an answer, the latest first
		}
		return s.took
	}
	slices.SortFunc(suspects, func(a, b sentDefinition) int { return int(cost(b) - cost(a)) })
	s := &shrinker{t: t, until: time.Now().Add(shrinkFor)}
	defer s.discard()
	for _, suspect := range suspects[:min(len(suspects), 12)] {
		definition, input := compose(g.seed, suspect.n)
		if time.Now().After(s.until) {
			break
		}
		if !s.hurts(definition, input) {
			continue
		}
		t.Logf("seed %d, definition %d hurts: %s", g.seed, suspect.n, s.harm)
		smallDefinition, smallInput := s.shrink(definition, input)
		text, _ := json.Marshal(smallDefinition)
		data, _ := json.Marshal(smallInput)
		t.Logf("made smaller, it still hurts (%s):\n%.6000s\nwith the input %.2000s", s.harm, text, data)
		return
	}
	t.Logf("seed %d: none of the %d most costly definitions hurts by itself", g.seed, min(len(suspects), 12))
}

// shrinker tries definitions one at a time.
type shrinker struct {
	t     *testing.T
	until time.Time
	site  *site
	// other is a bystander's client, steps its workflow.
	other *client
	steps string
	b     *attackers
	// harm is what the last definition that hurts does.
	harm string
}

// prepare starts a weft unless there is one that works.
func (s *shrinker) prepare() bool {
	if s.site != nil {
		return true
	}
	s.site = newSingleSite(s.t)
	if _, err := s.site.start(); err != nil {
		s.t.Log(err)
		s.discard()
		return false
	}
	s.b = newAttackers(s.t, s.site.asTarget(), s.site.mail.refuse, startHostileProvider(s.t))
	s.other, _ = signUp(s.t, s.site.url)
	s.other.grant(s.t, "workflows.execute")
	s.other.http.Timeout = 2 * lateAfter
	s.steps = s.other.must(s.t, 201, "POST", "/v1/workflows", map[string]any{"definition": bystanderSteps}).text(".id")
	return true
}

func (s *shrinker) discard() {
	if s.site != nil {
		s.site.end()
	}
	s.site = nil
}

// hurts reports whether weft dies, or a bystander waits for more than lateAfter, when a definition is executed four times.
func (s *shrinker) hurts(definition object, input any) bool {
	if !s.prepare() {
		return false
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Second)
	defer cancel()
	s.b.ctx = ctx
	var sending sync.WaitGroup
	done := make(chan struct{})
	for n := range 4 {
		sending.Go(func() { s.b.attackWith(s.b.users[0], 4*n+1, definition, input) })
	}
	go func() {
		sending.Wait()
		close(done)
	}()
	exited := s.site.exited()
	for ended := false; !ended; {
		from := time.Now()
		_, err := s.other.do(s.t.Context(), http.MethodPost, "/v1/workflows/"+s.steps+"/execute", []byte(`{"input":{"n":1}}`))
		select {
		case <-exited:
			s.harm = s.site.dead()
		case <-done:
			ended = true
		case <-time.After(20 * time.Millisecond): // between two looks
		}
		if took := time.Since(from); s.site.dead() == "" && (err != nil || took > lateAfter) {
			s.harm = "another's execution took " + took.Round(time.Millisecond).String()
		} else if s.site.dead() == "" {
			continue
		}
		cancel()
		<-done
		s.discard()
		return true
	}
	return false
}

// shrink returns a smaller definition and input that still hurt.
func (s *shrinker) shrink(definition object, input any) (object, any) {
	whole := object{"definition": definition, "input": input}
	try := func(candidate any) bool {
		c, _ := candidate.(object)
		d, ok := c["definition"].(object)
		if !ok || d["document"] == nil || d["do"] == nil || time.Now().After(s.until) || !s.hurts(d, c["input"]) {
			return false
		}
		whole = c
		return true
	}
	for found := true; found; {
		found = reducer{s.until}.smaller(whole, try)
	}
	return whole["definition"].(object), whole["input"]
}
