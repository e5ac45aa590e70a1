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

// diskSize is the size of the test's disk. weft reserves a third of it for its buckets.
const diskSize = "1g"

// TestFullDisk fills the disk while executions are started. Acknowledged executions are kept, starts that cannot be written are
// refused promptly, and weft recovers by itself once there is space; in the second round it is also killed on the full disk.
func TestFullDisk(t *testing.T) {
	disk := mountSmallDisk(t)
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
			t.Log(weft.logTail())
		}
		weft.kill()
	})
	d.runner, _ = signUp(t, d.url)
	d.runner.grant(t, "workflows.execute")
	d.workflow = d.runner.must(t, 201, "POST", "/v1/workflows", map[string]any{"definition": threeEchoes}).text(".id")

	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(d.startExecutions)
	}
	d.awaitAcknowledged(20)
	for round := range 2 {
		d.fillDisk()
		d.awaitRejections(20)
		if round == 1 {
			weft.kill()
		}
		if err := os.Remove(d.filler); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			weft = d.storm.start()
		}
		d.awaitAcknowledged(20)
	}
	d.over.Store(true)
	clients.Wait()
	d.verify()
	t.Logf("%d executions acknowledged, %d starts refused: %v", len(d.ids), d.rejections, d.answers)
}

// mountSmallDisk mounts a tmpfs of diskSize until the test ends and returns its directory, or "" without the permission to mount.
func mountSmallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("weft", dir, "tmpfs", 0, "size="+diskSize); errors.Is(err, syscall.EPERM) {
		t.Log("NOT TESTED: mounting a disk requires root")
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

// diskStorm is a storm of a weft whose disk fills up.
type diskStorm struct {
	*storm
	// filler is the file that fills the disk.
	filler string
	// ids has the acknowledged executions.
	ids        map[string]bool
	rejections int
	// answers counts the responses to starts by status; 0 means that there was none.
	answers map[int]int
}

// startExecutions starts executions in sequence. A start is acknowledged or refused, or its response is lost.
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
		d.record(id, a)
		<-time.After(10 * time.Millisecond) // limits the rate of starts
	}
}

// record counts the response to a start.
func (d *diskStorm) record(id string, a answer) {
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
		d.rejections++
	default:
		d.t.Errorf("the response to a start is %s", a)
	}
}

// fillDisk writes a file until the disk has no free block.
func (d *diskStorm) fillDisk() {
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

// awaitAcknowledged waits until a number of further starts are acknowledged.
func (d *diskStorm) awaitAcknowledged(more int) {
	d.t.Helper()
	d.awaitGrowth("acknowledged starts", more, func() int { return len(d.ids) })
}

// awaitRejections waits until a number of further starts are refused.
func (d *diskStorm) awaitRejections(more int) {
	d.t.Helper()
	d.awaitGrowth("refused starts", more, func() int { return d.rejections })
}

// awaitGrowth waits until a count has grown by a number.
func (d *diskStorm) awaitGrowth(what string, by int, count func() int) {
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

// verify checks that every acknowledged execution has completed once, with a complete history.
func (d *diskStorm) verify() {
	for id := range d.ids {
		var a answer
		if err := eventually(func() (bool, string) {
			var ok bool
			a, ok = d.retry(d.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK)
			return !ok || a.text(".ended_at") != "", a.String()
		}); err != nil {
			d.t.Error(err)
			continue
		}
		history, _ := d.retry(d.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=100", nil, http.StatusOK)
		complete, err := history.holds(`[.items[].sequence] == [range(1; (.items | length) + 1)] and
			([.items[] | select(.type == "execution_completed")] | length) == 1`)
		if a.text(".status") != "completed" || err != nil || !complete {
			d.t.Errorf("execution %s is %s with the history %s (%v)", id, a, history, err)
		}
	}
}
