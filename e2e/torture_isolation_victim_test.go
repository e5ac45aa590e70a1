//go:build torture

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

const (
	// victimEvery is the interval of the victim's requests, effectEvery that of what is observed by its effect: an event, a delivery, a
	// notification.
	victimEvery = 100 * time.Millisecond
	effectEvery = 500 * time.Millisecond
	// victimTimeout bounds a request of the victim, and the wait for an effect.
	victimTimeout = 10 * time.Second
	// lateAfter is how late a run, or the effect of an event, may be.
	lateAfter = time.Second
	// lateAfterKill is lateAfter where a worker is killed: others take over its partitions 1.2 s after its last heartbeat.
	lateAfterKill = 2 * time.Second
)

// The victim's probes. The first two are judged by their p99, the others by lateAfter.
const (
	probeExecute  = "execute"
	probeProfile  = "profile"
	probeReady    = "readyz"
	probeEvent    = "event"
	probeDelivery = "delivery"
	probeInbox    = "inbox"
	probeMail     = "mail"
	probeAction   = "action"
)

// noAnswer is the fault of a request that was not answered within victimTimeout.
const noAnswer = "no answer"

// sample is one use of weft by the victim. fault is "" if it went well.
type sample struct {
	probe string
	took  time.Duration
	fault string
}

// bystander is a user who executes a workflow of one step, reads the profile, has a schedule of one second, listens for events, receives
// deliveries and notifications. It keeps what was acknowledged.
type bystander struct {
	site   *site
	client *client
	shop   *stubProvider
	// steps, scheduled, hears and delivered are IDs of workflows.
	steps, scheduled, hears, delivered string
	schedule                           string
	hook                               *hookSender
	connection                         string

	mu         sync.Mutex
	samples    []sample
	executions map[string]int // by ID, with the input
	deliveries map[string]time.Time
	listeners  map[string]int // by ID, with the event
	heard      map[string]bool
	number     int
	// readUntilTime bounds the reads after a restart.
	readUntilTime time.Time
}

// The victim's workflows. Attributes make nominal times and deliveries visible in lists.
const (
	bystanderSteps  = "document: {dsl: 1.0.3, namespace: quiet, name: steps, version: 1.0.0}\ndo:\n- one: {call: echo, with: {n: '${ .n }'}}\n"
	victimScheduled = "document: {dsl: 1.0.3, namespace: quiet, name: scheduled, version: 1.0.0, metadata: {schedule: {overlap: allow, " +
		"input: {nominal: '${ .nominal_time }'}}, attributes: {nominal: '${ .nominal }'}}}\nschedule: {every: {seconds: 1}}\ndo:\n- one: {call: echo, with: {n: 1}}\n"
	victimHears = "document: {dsl: 1.0.3, namespace: quiet, name: hears, version: 1.0.0}\ndo:\n" +
		"- hear: {listen: {to: {one: {with: {type: quiet.told, data: '${ .n == $workflow.input.n }'}}}}}\n"
	victimDelivered = "document: {dsl: 1.0.3, namespace: quiet, name: delivered, version: 1.0.0, metadata: {attributes: {delivery: '${ .[0].payload.n }'}}}\n" +
		"schedule: {on: {one: {with: {type: http.order.paid}}}}\ndo:\n- one: {call: echo, with: {n: 1}}\n"
)

// newBystander signs a victim up and creates its workflows.
func newBystander(t testing.TB, s *site, shop *stubProvider) *bystander {
	t.Helper()
	v := &bystander{
		site: s, shop: shop, executions: map[string]int{}, deliveries: map[string]time.Time{}, listeners: map[string]int{}, heard: map[string]bool{},
	}
	v.client, _ = signUp(t, s.url)
	v.client.http.Timeout = victimTimeout
	v.client.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	create := func(document string) string {
		return v.client.must(t, 201, "POST", "/v1/workflows", map[string]any{"definition": document}).text(".id")
	}
	v.steps, v.hears, v.delivered = create(bystanderSteps), create(victimHears), create(victimDelivered)
	v.connection = shop.connect(t, v.client, "shop")
	v.hook = newHookSender(t, v.client, v.connection)
	v.scheduled = create(victimScheduled)
	v.schedule = v.client.must(t, 200, "GET", "/v1/schedules?workflow_id="+v.scheduled, nil).text(".items[0].id")
	return v
}

// observe uses weft until ctx ends, and returns the samples.
func (v *bystander) observe(ctx context.Context) []sample {
	v.mu.Lock()
	v.samples = nil
	v.mu.Unlock()
	var probes sync.WaitGroup
	probes.Go(func() { v.keepUsing(ctx, victimEvery, v.execute) })
	probes.Go(func() { v.keepUsing(ctx, victimEvery, v.readProfile) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery/2, v.readReadiness) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery, v.hear) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery, v.deliver) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery, v.notify) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery, v.mail) })
	probes.Go(func() { v.keepUsing(ctx, effectEvery, v.act) })
	probes.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.samples
}

// keepUsing calls use at an interval, however long each call takes.
func (v *bystander) keepUsing(ctx context.Context, interval time.Duration, use func(n int)) {
	var uses sync.WaitGroup
	defer uses.Wait()
	for tick := time.NewTicker(interval); ; {
		uses.Go(func() { use(v.next()) })
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func (v *bystander) next() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.number++
	return v.number
}

func (v *bystander) add(s sample) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.samples = append(v.samples, s)
}

// request makes a request that must be answered with a status. It records a sample of the probe if there is one.
func (v *bystander) request(probe string, status int, method, path string, body any) (answer, bool) {
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	from := time.Now()
	a, err := v.client.do(context.Background(), method, path, data)
	s := sample{probe: probe, took: time.Since(from)}
	switch {
	case err != nil && s.took >= victimTimeout:
		s.fault = noAnswer
	case err != nil:
		s.fault = "no connection"
	case a.status != status:
		s.fault = fmt.Sprintf("%d %s", a.status, a.text(".code"))
	}
	if s.fault != "" || slices.Contains([]string{probeExecute, probeProfile, probeReady, probeAction}, probe) {
		v.add(s)
	}
	return a, s.fault == ""
}

// execute runs the workflow of one step.
func (v *bystander) execute(n int) {
	a, ok := v.request(probeExecute, http.StatusOK, http.MethodPost, "/v1/workflows/"+v.steps+"/execute", map[string]any{"input": map[string]any{"n": n}})
	if !ok {
		return
	}
	if a.text(".status") != subjects.ExecutionCompleted || a.text(".output.n") != strconv.Itoa(n) {
		v.add(sample{probe: probeExecute, fault: "the execution is " + a.text(".status")})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.executions[a.text(".id")] = n
}

func (v *bystander) readProfile(int) {
	v.request(probeProfile, http.StatusOK, http.MethodGet, "/v1/users/me", nil)
}

func (v *bystander) readReadiness(int) {
	v.request(probeReady, http.StatusOK, http.MethodGet, "/readyz", nil)
}

// hear starts an execution that listens, publishes its event, and waits for the end of the execution.
func (v *bystander) hear(n int) {
	id := uuid.Must(uuid.NewV7()).String()
	start := map[string]any{"execution_id": id, "input": map[string]any{"n": n}}
	if _, ok := v.request(probeEvent, http.StatusAccepted, http.MethodPost, "/v1/workflows/"+v.hears+"/executions", start); !ok {
		return
	}
	v.mu.Lock()
	v.listeners[id] = n
	v.mu.Unlock()
	if !v.await(probeEvent, "/v1/executions/"+id, `.status == "waiting"`) {
		return
	}
	event := map[string]any{
		"specversion": "1.0", "id": id, "source": "https://quiet.example.com", "type": "quiet.told", "datacontenttype": "application/json",
		"data": map[string]any{"n": n},
	}
	data, _ := json.Marshal(event)
	from := time.Now()
	a, err := v.client.do(context.Background(), http.MethodPost, "/v1/events", data, "Content-Type: application/cloudevents+json")
	if err != nil || a.status >= http.StatusMultipleChoices {
		v.add(sample{probe: probeEvent, took: time.Since(from), fault: fmt.Sprintf("publishing: %d %s", a.status, a.text(".code"))})
		return
	}
	v.mu.Lock()
	v.heard[id] = true
	v.mu.Unlock()
	if v.await(probeEvent, "/v1/executions/"+id, `.ended_at`) {
		v.add(sample{probe: probeEvent, took: time.Since(from)})
	}
}

// deliver sends a provider's delivery, which starts an execution.
func (v *bystander) deliver(n int) {
	key := strconv.Itoa(n)
	from := time.Now()
	a, err := v.hook.send(context.Background(), fmt.Sprintf(`{"type":"order.paid","n":%q}`, key))
	if err != nil || a.status != http.StatusOK {
		v.add(sample{probe: probeDelivery, took: time.Since(from), fault: fmt.Sprintf("delivery: %d %s", a.status, a.text(".code"))})
		return
	}
	v.mu.Lock()
	v.deliveries[key] = from
	v.mu.Unlock()
	if v.await(probeDelivery, "/v1/executions?workflow_id="+v.delivered+"&attribute=delivery:"+key, ".items[0].ended_at") {
		v.add(sample{probe: probeDelivery, took: time.Since(from)})
	}
}

// notify sends a notification to the victim's own inbox.
func (v *bystander) notify(n int) {
	from := time.Now()
	a, ok := v.request(probeInbox, http.StatusAccepted, http.MethodPost, "/v1/notifications",
		map[string]any{"category": "system", "subject": strconv.Itoa(n)})
	if ok && v.await(probeInbox, "/v1/notifications/"+a.text(".notification_id"), `.status == "delivered"`) {
		v.add(sample{probe: probeInbox, took: time.Since(from)})
	}
}

// mail sends a message to the victim's own address.
func (v *bystander) mail(n int) {
	from, subject := time.Now(), fmt.Sprintf("mail-%d-", n)
	_, ok := v.request(probeMail, http.StatusAccepted, http.MethodPost, "/v1/notifications",
		map[string]any{"category": "system", "subject": subject, "channels": []string{"email"}})
	for ok && !v.site.mail.has(subject) {
		if time.Since(from) > victimTimeout {
			v.add(sample{probe: probeMail, took: time.Since(from), fault: fmt.Sprintf("no effect in %s", victimTimeout)})
			return
		}
		<-time.After(20 * time.Millisecond) // between two looks
	}
	if ok {
		v.add(sample{probe: probeMail, took: time.Since(from)})
	}
}

// act runs an action of the victim's connection.
func (v *bystander) act(n int) {
	v.request(probeAction, http.StatusOK, http.MethodPost, "/v1/integrations/"+v.connection+"/actions/get",
		map[string]any{"input": map[string]any{"path": fmt.Sprint("/", n)}})
}

// await polls a resource until an expression holds. Otherwise it records a fault.
func (v *bystander) await(probe, path, expression string) bool {
	from := time.Now()
	for time.Since(from) < victimTimeout {
		a, ok := v.request(probe, http.StatusOK, http.MethodGet, path, nil)
		if !ok {
			return false
		}
		if holds, err := a.holds(expression); err == nil && holds {
			return true
		}
		<-time.After(20 * time.Millisecond) // between two looks
	}
	v.add(sample{probe: probe, took: time.Since(from), fault: fmt.Sprintf("no effect in %s", victimTimeout)})
	return false
}
