//go:build torture

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

const (
	// attackerRequests bounds the concurrent requests of all attackers, so that the clients leave the processors to weft.
	attackerRequests = 16
	// modestRequests bounds them where each is cheap and what is attacked is what they leave. It is for the rate limits, which are off here, to bound how many
	// requests a user makes.
	modestRequests = 3
)

// attack is a way to hurt other users. run attacks until the context of the attackers ends, and may return before.
type attack struct {
	name string
	run  func(*attackers)
	// kills says that a workflow process is killed meanwhile. Then the victim's requests may fail until another one has taken over.
	kills bool
}

// attacks are the attacks on a single process.
func attacks() []attack {
	return slices.Concat(textAttacks(), evaluationAttacks(), stateAttacks(), startAttacks(), bodyAttacks(), actorAttacks(), []attack{{name: "generated documents", run: attackGenerated}})
}

// together returns an attack by several others at once.
func together(attacks ...func(*attackers)) func(*attackers) {
	return func(b *attackers) {
		var all sync.WaitGroup
		for _, run := range attacks {
			all.Go(func() { run(b) })
		}
		all.Wait()
	}
}

// attackers are two users, each with an address of its own.
type attackers struct {
	t        *testing.T
	ctx      context.Context
	target   attackTarget
	users    []*client
	ids      []string
	provider *hostileProvider
	names    atomic.Int64
	// seed is that of everything random.
	seed uint64
	// generated is set by attackGenerated.
	generated *generated

	mu      sync.Mutex
	answers map[string]int
}

// newAttackers signs the attackers up. refuse is called with their addresses, whose messages the mail server refuses.
func newAttackers(t *testing.T, at attackTarget, refuse func(address string), provider *hostileProvider) *attackers {
	t.Helper()
	b := &attackers{t: t, ctx: t.Context(), target: at, provider: provider, answers: map[string]int{}, seed: tortureSeed(t)}
	for i := range 2 {
		c, id := signUp(t, at.URL)
		c.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
		refuse(c.must(t, 200, "GET", "/v1/users/me", nil).text(".email"))
		provider.stub.connect(t, c, "bad")
		c.http = &http.Client{Transport: transportFrom(fmt.Sprintf("127.0.1.%d", i+1))}
		b.users, b.ids = append(b.users, c), append(b.ids, id)
	}
	return b
}

// transportFrom returns a transport whose connections come from an address.
func transportFrom(address string) *http.Transport {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: attackerRequests}
}

// crowd calls do concurrently, again and again with a growing number, until the attack ends or do returns false.
func (b *attackers) crowd(concurrent int, do func(n int) bool) {
	var all sync.WaitGroup
	var n atomic.Int64
	for range concurrent {
		all.Go(func() {
			for b.ctx.Err() == nil {
				if !do(int(n.Add(1) - 1)) {
					return
				}
			}
		})
	}
	all.Wait()
}

// times calls do concurrently with 0, 1, … below count.
func (b *attackers) times(count int, do func(n int)) {
	b.crowd(attackerRequests, func(n int) bool {
		if n >= count {
			return false
		}
		do(n)
		return true
	})
}

// user returns one of the attackers.
func (b *attackers) user(n int) *client { return b.users[n%len(b.users)] }

// send makes a request and counts its answer. what names it in the summary.
func (b *attackers) send(c *client, what, method, path string, body []byte, headers ...string) answer {
	a, err := c.do(b.ctx, method, path, body, headers...)
	if err != nil && b.ctx.Err() == nil {
		<-time.After(20 * time.Millisecond) // a refused connection costs a client nothing
	}
	b.count(what, a.status)
	return a
}

func (b *attackers) count(what string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[fmt.Sprintf("%s %d", what, status)]++
}

// post sends a body as JSON.
func (b *attackers) post(c *client, what, path string, body any) answer {
	data, err := json.Marshal(body)
	if err != nil {
		b.t.Error(err)
	}
	return b.send(c, what, http.MethodPost, path, data)
}

// validate and create send a definition.
func (b *attackers) validate(c *client, document string) answer {
	return b.send(c, "validate", http.MethodPost, "/v1/workflows/validate", []byte(document), "Content-Type: application/yaml")
}

func (b *attackers) create(c *client, document string) (id string) {
	return b.send(c, "create", http.MethodPost, "/v1/workflows", []byte(document), "Content-Type: application/yaml").text(".id")
}

// begin starts an execution, execute also waits for its end.
func (b *attackers) begin(c *client, workflow string, input any) answer {
	return b.post(c, "start", "/v1/workflows/"+workflow+"/executions", map[string]any{"input": input})
}

func (b *attackers) execute(c *client, workflow string, input any) answer {
	return b.post(c, "execute", "/v1/workflows/"+workflow+"/execute", map[string]any{"input": input})
}

// document returns a definition with a name of its own. head is what precedes the tasks.
func (b *attackers) document(head string, tasks ...string) string {
	return fmt.Sprintf("document: {dsl: 1.0.3, namespace: attack, name: w%d, version: 1.0.0}\n%sdo:\n%s\n", b.names.Add(1), head, strings.Join(tasks, "\n"))
}

// publish publishes an event.
func (b *attackers) publish(c *client, kind string, data any) answer {
	return b.postEvent(c, map[string]any{
		"specversion": "1.0", "id": fmt.Sprint("e", b.names.Add(1)), "source": "https://bad.example.com", "type": kind, "data": data,
	})
}

func (b *attackers) postEvent(c *client, event map[string]any) answer {
	data, err := json.Marshal(event)
	if err != nil {
		b.t.Error(err)
	}
	return b.send(c, "publish", http.MethodPost, "/v1/events", data, "Content-Type: application/cloudevents+json")
}

// runAll creates the documents, in an order that depends on the seed, and executes them in turn until the attack ends.
func (b *attackers) runAll(concurrent int, input any, documents ...string) {
	documents = slices.Clone(documents)
	rand.New(rand.NewPCG(b.seed, 0)).Shuffle(len(documents), func(n, k int) { documents[n], documents[k] = documents[k], documents[n] })
	workflows := make([]string, len(documents))
	b.times(len(documents), func(n int) { workflows[n] = b.create(b.users[n%len(b.users)], documents[n]) })
	workflows = indexed(workflows)
	b.crowd(concurrent, func(n int) bool {
		if len(workflows) == 0 {
			return false
		}
		k := n % len(workflows)
		owner, id, _ := strings.Cut(workflows[k], " ")
		b.execute(b.users[owner[0]-'0'], id, input)
		return true
	})
}

// indexed returns "user id" for each created workflow.
func indexed(ids []string) (created []string) {
	for n, id := range ids {
		if id != "" {
			created = append(created, fmt.Sprintf("%d %s", n%2, id))
		}
	}
	return created
}

// summary lists the answers to the attackers.
func (b *attackers) summary() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(b.answers)) {
		all = append(all, fmt.Sprintf("%d × %s", b.answers[what], what))
	}
	return strings.Join(all, ", ")
}

// hostileProvider is an API that misbehaves.
type hostileProvider struct {
	stub  *stubProvider
	ended chan struct{}
}

// startHostileProvider serves until the test ends: /hang is never answered, /drip never completely, /busy is 429, /broken is 503, /large has eight megabytes, and
// descriptions of APIs below /openapi/ are costly to read.
func startHostileProvider(t testing.TB) *hostileProvider {
	t.Helper()
	p := &hostileProvider{ended: make(chan struct{})}
	server := httptest.NewServer(p)
	p.stub = &stubProvider{url: server.URL}
	t.Cleanup(func() {
		close(p.ended)
		server.Close()
	})
	return p
}

// ServeHTTP implements http.Handler.
func (p *hostileProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasPrefix(r.URL.Path, "/hang"):
		p.wait(r, time.Hour)
	case strings.HasPrefix(r.URL.Path, "/drip"):
		for p.wait(r, 100*time.Millisecond) {
			if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	case strings.HasPrefix(r.URL.Path, "/busy"):
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	case strings.HasPrefix(r.URL.Path, "/broken"):
		w.WriteHeader(http.StatusServiceUnavailable)
	case strings.HasPrefix(r.URL.Path, "/large"):
		_, _ = w.Write([]byte("[" + strings.Repeat("[[],0],", 1<<20) + "0]"))
	case strings.HasPrefix(r.URL.Path, "/openapi/"):
		_, _ = w.Write([]byte(hostileDescription(r.URL.Path)))
	default:
		_, _ = w.Write([]byte(`{"ok":true}`))
	}
}

// wait waits for a time; false means that the caller has gone or the test has ended.
func (p *hostileProvider) wait(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
	case <-p.ended:
	}
	return false
}

// hostileDescription returns a description of an API: with deep or very many schemas, or with aliases that double.
func hostileDescription(path string) string {
	const operation = "openapi: 3.1.0\ninfo: {title: a, version: '1'}\nservers: [{url: 'http://127.0.0.1:1'}]\npaths: {/pets: {get: {operationId: getPet, responses: {'200': {description: a}}}}}\n"
	switch path {
	case "/openapi/deep":
		return operation + "x: " + strings.Repeat("{a: ", 60_000) + "1" + strings.Repeat("}", 60_000)
	case "/openapi/wide":
		return operation + "x: [" + strings.Repeat("{}, ", 900_000) + "1]"
	}
	aliases := "x0: &a0 [1, 1]\n"
	for n := range 60 {
		aliases += fmt.Sprintf("x%d: &a%d [*a%d, *a%d]\n", n+1, n+1, n, n)
	}
	return operation + aliases
}
