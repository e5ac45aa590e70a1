package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// threeEchoes is a workflow of three steps.
const threeEchoes = `document: {dsl: 1.0.3, namespace: bench, name: echo, version: 1.0.0}
do:
  - a: {call: echo, with: {n: 1}}
  - b: {call: echo, with: {n: 2}}
  - c: {call: echo, with: {n: 3}}
`

// BenchmarkWorkflow measures executions of three durable steps, where each result is in the log before the next step starts.
// Executions are started over HTTP at the running binary, and the response has the result. It varies the number of callers and
// the durability: every write synced, or writes synced at an interval. cpu is the CPU time of the process per execution,
// appends the number of messages appended to the log per execution.
func BenchmarkWorkflow(b *testing.B) {
	for _, durability := range []string{"always", "interval"} {
		w := startWorkflowBench(b, threeEchoes, "WEFT_DURABILITY="+durability)
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(durability+"/"+strconv.Itoa(callers), func(b *testing.B) { w.measure(b, callers) })
		}
		w.weft.kill()
	}
}

// BenchmarkChildWorkflow measures executions that run a child workflow and wait for it. cpu is for parent and child together,
// appends for each of them.
func BenchmarkChildWorkflow(b *testing.B) {
	w := startWorkflowBench(b, threeEchoes)
	w.create(b, strings.NewReplacer("name: echo", "name: parent", "{call: echo, with: {n: 1}}",
		"{run: {workflow: {namespace: bench, name: echo, version: latest}}}").Replace(threeEchoes))
	for _, callers := range []int{1, 16} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) { w.measure(b, callers) })
	}
	w.weft.kill()
}

// workflowBench is a running weft and the request that executes a workflow.
type workflowBench struct {
	weft    *running
	client  *client
	request []byte
}

func startWorkflowBench(b *testing.B, definition string, settings ...string) *workflowBench {
	b.Helper()
	w := &workflowBench{weft: startWeft(b, b.TempDir(), append(settings, "WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_LOG_LEVEL="+benchLogLevel())...)}
	w.client, _ = signUp(b, w.weft.ready.HTTP)
	w.client.grant(b, "workflows.execute")
	w.create(b, definition)
	return w
}

// create creates a workflow, which measure executes.
func (w *workflowBench) create(b *testing.B, definition string) {
	b.Helper()
	id := w.client.must(b, 201, "POST", "/v1/workflows", map[string]any{"definition": definition}).text(".id")
	w.request = executeRequest(w.client, id)
}

// executeRequest returns the HTTP request with which a client executes a workflow.
func executeRequest(c *client, workflow string) []byte {
	return []byte("POST /v1/workflows/" + workflow + "/execute HTTP/1.1\r\nHost: " + strings.TrimPrefix(c.url, "http://") +
		"\r\nAuthorization: Bearer " + c.token + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
}

// measure executes the workflow with a number of concurrent callers.
func (w *workflowBench) measure(b *testing.B, callers int) {
	b.Helper()
	t := &target{name: "weft", server: w.weft, message: w.request, connections: callers}
	if _, err := t.load(benchWindow / 4); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	var rates, cpu []float64
	appends, ended := scrape(b, w.weft, "workflow_log_appends_total"), scrape(b, w.weft, "workflow_executions_total")
	for b.Loop() {
		before, err := cpuTime(w.weft.cmd.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		took, err := t.load(benchWindow)
		if err != nil {
			b.Fatal(err)
		}
		after, err := cpuTime(w.weft.cmd.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, took...)
		rates = append(rates, float64(len(took))/benchWindow.Seconds())
		cpu = append(cpu, float64((after-before).Microseconds())/float64(len(took)))
	}
	slices.Sort(all)
	for _, share := range []int{50, 95, 99} {
		b.ReportMetric(float64(all[(len(all)-1)*share/100].Microseconds())/1000, fmt.Sprintf("p%d_ms", share))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates), "executions/s")
	b.ReportMetric(median(cpu), "cpu_µs")
	b.ReportMetric((scrape(b, w.weft, "workflow_log_appends_total")-appends)/(scrape(b, w.weft, "workflow_executions_total")-ended), "appends")
}

// waitingExecutions is the least number of executions that BenchmarkWaiting starts.
const waitingExecutions = 100_000

// BenchmarkWaiting measures the cost of executions that wait for an hour: resident memory for each, and the time of a restart
// with all of them.
func BenchmarkWaiting(b *testing.B) {
	data := b.TempDir()
	settings := []string{"WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_LOG_LEVEL=warn"}
	weft := startWeft(b, data, settings...)
	c, _ := signUp(b, weft.ready.HTTP)
	c.grant(b, "workflows.execute")
	definition := strings.Replace(threeEchoes, "  - a:", "  - rest: {wait: {hours: 1}}\n  - a:", 1)
	created := c.must(b, 201, "POST", "/v1/workflows", map[string]any{"definition": definition})
	host := strings.TrimPrefix(weft.ready.HTTP, "http://")
	t := &target{server: weft, connections: benchConnections, status: " 202 ", message: []byte("POST /v1/workflows/" + created.text(".id") +
		"/executions HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + c.token + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")}
	pid := weft.cmd.Process.Pid
	before, err := residentMB(pid)
	if err != nil {
		b.Fatal(err)
	}
	started := 0
	for started < waitingExecutions {
		took, err := t.load(benchWindow)
		if err != nil {
			b.Fatal(err)
		}
		started += len(took)
	}
	// Wait until all are evicted from memory.
	if err := eventually(func() (bool, string) {
		n := scrape(b, weft, "workflow_active_executions") + scrape(b, weft, "workflow_queued_executions")
		return n == 0, fmt.Sprint(n, " are in memory")
	}); err != nil {
		b.Fatal(err)
	}
	<-time.After(5 * time.Second) // part of the measurement: memory of the starts is released by then
	after, err := residentMB(pid)
	if err != nil {
		b.Fatal(err)
	}
	weft.kill()
	for b.Loop() {
		from := time.Now()
		weft = startWeft(b, data, settings...)
		if err := eventually(func() (bool, string) { return scrape(b, weft, "workflow_partitions") == 8, "partitions" }); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(from).Milliseconds()), "restart_ms")
		weft.kill()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(started), "executions")
	b.ReportMetric((after-before)*1e6/float64(started), "B_memory/execution")
}

// scrape returns the sum of a metric of a running weft over its labels.
func scrape(b testing.TB, r *running, name string) (sum float64) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, r.ready.Metrics, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer reply.Body.Close()
	lines := bufio.NewScanner(reply.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += value
	}
	return sum
}
