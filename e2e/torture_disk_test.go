//go:build torture

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// diskSize is the room of the test's disk: weft reserves a third of it for its buckets.
const diskSize = "1g"

// A disk that fills up while executions run: what was acknowledged stays, what cannot be written is refused at once, and
// weft goes on by itself when there is room again; so it does after a kill -9 in the middle.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	if disk == "" {
		return
	}
	d := &diskStorm{storm: &storm{t: t}, filler: filepath.Join(disk, "filler"), ids: map[string]bool{}}
	address := freePort(t)
	d.url = "http://" + address
	d.weft = upProgram(t, filepath.Join(disk, "data"), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn")
	d.weft.args = append(d.weft.args, "--http", address)
	weft := d.storm.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(weft.lastWords())
		}
		weft.kill()
	})
	d.runner, _ = signUp(t, d.url)
	d.runner.grant(t, "workflows.execute")
	d.workflow = d.runner.must(t, 201, "POST", "/v1/workflows", map[string]any{"definition": echoThrice}).text(".id")

	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(d.startExecutions)
	}
	d.acknowledged(20)
	for round := range 2 {
		d.fill()
		d.refused(20)
		if round == 1 {
			weft.kill()
		}
		if err := os.Remove(d.filler); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			weft = d.storm.start()
		}
		d.acknowledged(20)
	}
	d.over.Store(true)
	clients.Wait()
	d.settle()
	t.Logf("%d executions acknowledged, %d starts refused: %v", len(d.ids), d.refusals, d.answers)
}

// smallDisk mounts a small disk until the test ends, and gives its folder; there is none where that is not allowed.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("weft", dir, "tmpfs", 0, "size="+diskSize); errors.Is(err, syscall.EPERM) {
		t.Log("NOT TESTED, a disk cannot be mounted here: run it as root")
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

type diskStorm struct {
	*storm
	filler   string
	ids      map[string]bool
	refusals int
	// answers counts the answers to starts by their status; 0 is none.
	answers map[int]int
}

// startExecutions starts one execution after the other. A start is acknowledged, or refused, or its answer is lost.
func (d *diskStorm) startExecutions() {
	for !d.over.Load() {
		id := uuid.Must(uuid.NewV7()).String()
		body, err := json.Marshal(map[string]any{"execution_id": id})
		if err != nil {
			d.t.Error(err)
			return
		}
		a, err := d.runner.do(d.t.Context(), http.MethodPost, "/v1/workflows/"+d.workflow+"/executions", body)
		if err != nil {
			a.status = 0
		}
		d.note(id, a)
		<-time.After(10 * time.Millisecond) // the storm's own rhythm
	}
}

func (d *diskStorm) note(id string, a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answers == nil {
		d.answers = map[int]int{}
	}
	d.answers[a.status]++
	switch {
	case a.status == http.StatusAccepted:
		d.ids[id] = true
	case slices.Contains([]int{0, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, a.status):
		d.refusals++
	default:
		d.t.Errorf("a start was answered with %s", a)
	}
}

// fill leaves the disk without a free block.
func (d *diskStorm) fill() {
	file, err := os.Create(d.filler)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for size := 1 << 20; size >= 1<<9; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// acknowledged waits for so many more acknowledged starts.
func (d *diskStorm) acknowledged(more int) {
	d.t.Helper()
	d.grows("acknowledged starts", more, func() int { return len(d.ids) })
}

func (d *diskStorm) refused(more int) {
	d.t.Helper()
	d.grows("refused starts", more, func() int { return d.refusals })
}

func (d *diskStorm) grows(what string, by int, count func() int) {
	d.t.Helper()
	locked := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return count()
	}
	from := locked()
	if err := eventually(func() (bool, string) {
		n := locked() - from
		return n >= by, fmt.Sprintf("%d %s more, want %d", n, what, by)
	}); err != nil {
		d.t.Fatal(err)
	}
}

// settle checks that everything that was acknowledged has ended, once and rightly.
func (d *diskStorm) settle() {
	for id := range d.ids {
		var a answer
		if err := eventually(func() (bool, string) {
			var ok bool
			a, ok = d.insist(d.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK)
			return !ok || a.text(".ended_at") != "", a.String()
		}); err != nil {
			d.t.Error(err)
			continue
		}
		history, _ := d.insist(d.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=100", nil, http.StatusOK)
		whole, err := history.holds(`[.items[].sequence] == [range(1; (.items | length) + 1)] and
			([.items[] | select(.type == "execution_completed")] | length) == 1`)
		if a.text(".status") != "completed" || err != nil || !whole {
			d.t.Errorf("execution %s is %s, with the history %s (%v)", id, a, history, err)
		}
	}
}
