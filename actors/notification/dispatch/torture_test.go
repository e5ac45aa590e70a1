//go:build torture

package dispatch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/actors/seal"
)

// killedEnv is the environment variable that passes a killedJob as JSON to the process that is killed.
const killedEnv = "WEFT_TEST_KILLED_DISPATCHER"

// killedJob is the work of the killed process: it delivers to the endpoints, and adds events of its life.
type killedJob struct {
	Database  database.Config
	Keyset    string
	Endpoints []dispatch.Endpoint
	Life      int
	// Drain means to add nothing and to end once nothing is pending.
	Drain bool
}

// TestKilledDispatcher is the process that TestKillNine kills. It prints each event that it has added and committed. Without killedEnv
// it does nothing.
func TestKilledDispatcher(t *testing.T) {
	var job killedJob
	if text := os.Getenv(killedEnv); text == "" {
		return
	} else if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	db := actortest.OpenDatabase(t, job.Database, migrations)
	sealer, err := seal.Open(job.Keyset)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]dispatch.Endpoint{}
	for _, e := range job.Endpoints {
		byID[e.ID] = e
	}
	d, err := dispatch.New(dispatch.Options{
		DB: db, Sealer: sealer, Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Now: time.Now, NewID: newID, Allow: loopback, AllowHTTP: true,
		Endpoint: func(_ context.Context, id string) (dispatch.Endpoint, error) { return byID[id], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.SetLease(2*time.Second, 300*time.Millisecond)
	go func() { _ = d.Run(t.Context()) }()
	if job.Drain {
		actortest.Eventually(t, "nothing is pending", func() bool {
			n, err := db.NewSelect().TableExpr("webhook_deliveries").Where("status = 'pending'").Count(t.Context())
			return err == nil && n == 0
		})
		fmt.Println("drained")
		return
	}
	numbers := map[string]int{}
	for {
		e := event(`{}`)
		endpoint := job.Endpoints[rand.IntN(len(job.Endpoints))]
		e.Ordering = fmt.Sprintf("life%d", job.Life)
		numbers[endpoint.ID]++
		e.Payload = fmt.Appendf(nil, `{"key":"%s/%s","n":%d}`, endpoint.ID, e.Ordering, numbers[endpoint.ID])
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error { return d.Add(ctx, tx, e, []string{endpoint.ID}) })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("added", endpoint.ID, e.ID)
	}
}

// killReceiver notes what receivers got, checks the order of keys, and fails one request in ten.
type killReceiver struct {
	mu       sync.Mutex
	answered map[string]int // by endpoint and event: requests that were answered with 200
	requests int
	last     map[string]int // by key
	bad      []string
}

func (k *killReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Key string
		N   int
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := strings.TrimPrefix(r.URL.Path, "/") + "/" + r.Header.Get("webhook-id")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests++
	if rand.IntN(10) == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	k.answered[id]++
	if body.N > k.last[body.Key]+1 {
		k.bad = append(k.bad, fmt.Sprintf("%s: %d after %d", body.Key, body.N, k.last[body.Key]))
	}
	k.last[body.Key] = max(k.last[body.Key], body.N)
}

// A process is killed again and again while it adds events and delivers them. What was added is delivered and logged, in the order of its
// key, and what is repeated has the same id. WEFT_TORTURE_DURATION is how long it takes on each database at most, and WEFT_TORTURE_KILLS
// after how many kills it ends before.
func TestKillNine(t *testing.T) {
	duration, most := 5*time.Second, math.MaxInt
	var err error
	if text := os.Getenv("WEFT_TORTURE_DURATION"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WEFT_TORTURE_KILLS"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 {
			t.Fatalf("WEFT_TORTURE_KILLS is no number of kills: %q", text)
		}
	}
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) { killNine(t, kind, duration, most) })
	}
}

func killNine(t *testing.T, kind actortest.Database, duration time.Duration, most int) {
	k := &killReceiver{answered: map[string]int{}, last: map[string]int{}}
	url := receiveWith(t, k.ServeHTTP)
	job := killedJob{Database: kind.Config(t, "notification"), Keyset: t.TempDir() + "/keyset.json"}
	for range 8 {
		e := dispatch.Endpoint{ID: newID(), UserID: "user", Enabled: true, Ordered: true, Secrets: []string{dispatch.NewSecret()}}
		e.URL = url + "/" + e.ID
		for range 12 {
			e.Schedule = append(e.Schedule, 50*time.Millisecond)
		}
		job.Endpoints = append(job.Endpoints, e)
	}
	var added []string
	kills := 0
	for end := time.Now().Add(duration); kills < most && time.Now().Before(end); kills++ {
		job.Life++
		added = append(added, runAndKill(t, job)...)
	}
	job.Drain = true
	runAndKill(t, job)

	db := actortest.OpenDatabase(t, job.Database, migrations)
	var rows []struct {
		EndpointID, EventID, Status string
		Attempts                    int
		Logged                      int
	}
	err := db.NewSelect().TableExpr("webhook_deliveries AS d").Column("d.endpoint_id", "d.event_id", "d.status", "d.attempts").
		ColumnExpr("(SELECT count(*) FROM webhook_attempts AS a WHERE a.delivery_id = d.id) AS logged").Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	k.mu.Lock()
	defer k.mu.Unlock()
	repeated := 0
	for _, row := range rows {
		id := row.EndpointID + "/" + row.EventID
		stored[id] = true
		switch {
		case row.Status != dispatch.StatusSucceeded || k.answered[id] == 0:
			t.Errorf("%s is %s after %d answers", id, row.Status, k.answered[id])
		case row.Attempts != row.Logged:
			t.Errorf("%s: %d attempts, %d logged", id, row.Attempts, row.Logged)
		}
		repeated += k.answered[id] - 1
	}
	for _, id := range added {
		if !stored[id] {
			t.Errorf("%s was added and is not stored", id)
		}
	}
	if len(k.bad) > 0 {
		t.Errorf("the order is broken %d times: %v", len(k.bad), k.bad[:min(5, len(k.bad))])
	}
	t.Logf("%d kills, %d events known to be added, %d stored, %d requests, %d repeated with the same id", kills, len(added), len(rows), k.requests, repeated)
}

// runAndKill runs the process for some time after its first event and kills it, or until it has drained. It returns what it has added.
func runAndKill(t *testing.T, job killedJob) (added []string) {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledDispatcher$")
	cmd.Env = append(os.Environ(), killedEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	drained := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var endpoint, id string
		switch n, _ := fmt.Sscanf(lines.Text(), "added %s %s", &endpoint, &id); {
		case n == 2:
			if added == nil {
				time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			added = append(added, endpoint+"/"+id)
		case lines.Text() == "drained":
			drained = true
		case job.Drain:
			t.Log(lines.Text())
		}
	}
	_ = cmd.Wait()
	if job.Drain && !drained {
		t.Fatal("the last process did not deliver everything")
	}
	return added
}
