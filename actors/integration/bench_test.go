package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkExecuteAction sets execute_action, over the mesh, beside the same call by a bare http.Client: added-p50-µs is
// what the middle call costs more. The aim is 300 at the most. In one process, as in weft up, the mesh needs no socket.
func BenchmarkExecuteAction(b *testing.B) {
	for _, database := range actortest.Databases(b) {
		b.Run("one_process/"+database.Name, func(b *testing.B) { executeAction(b, database, actortest.InProcess()) })
		b.Run("sockets/"+database.Name, func(b *testing.B) { executeAction(b, database) })
	}
}

func executeAction(b *testing.B, database actortest.Database, options ...actortest.Option) {
	mesh := setupOn(b, actortest.Start(b, options...), database)
	_, ada := mesh.user(b)
	v := newVendor(b, says(200, `{"ok":true,"items":[1,2,3]}`))
	v.forgetful = true
	c := mesh.connectTo(b, v, ada, "")
	bare, through := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	request := action(c.ID, "post", `{"path":"/echo","body":{"a":1}}`)
	client := &http.Client{}
	for b.Loop() {
		begin := time.Now()
		post(b, client, v.URL+"/echo")
		between := time.Now()
		call(b, mesh, subjects.ExecuteAction, ada, request)
		bare, through = append(bare, between.Sub(begin)), append(through, time.Since(between))
	}
	b.ReportMetric(median(bare), "bare-p50-µs")
	b.ReportMetric(median(through), "action-p50-µs")
	b.ReportMetric(median(through)-median(bare), "added-p50-µs")
}

func post(b *testing.B, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader([]byte(`{"a":1}`)))
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+goodKey)
	answer, err := client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		b.Fatal(err)
	}
}

func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds())
}
