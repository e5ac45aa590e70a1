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

// BenchmarkExecuteAction compares execute_action over the mesh with the same request by an http.Client. added-p50-µs is the
// difference of the medians; the target is at most 300. Within one process, as in weft up, the mesh uses no sockets.
func BenchmarkExecuteAction(b *testing.B) {
	for _, database := range actortest.Databases(b) {
		b.Run("one_process/"+database.Name, func(b *testing.B) { executeAction(b, database, actortest.InProcess()) })
		b.Run("sockets/"+database.Name, func(b *testing.B) { executeAction(b, database) })
	}
}

func executeAction(b *testing.B, database actortest.Database, options ...actortest.Option) {
	f := setupOn(b, actortest.Start(b, options...), database)
	_, ada := f.user(b)
	v := newFakeProvider(b, respond(200, `{"ok":true,"items":[1,2,3]}`))
	v.discard = true
	c := f.connectTo(b, v, ada, "")
	bare, through := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	request := action(c.ID, "post", `{"path":"/echo","body":{"a":1}}`)
	client := &http.Client{}
	for b.Loop() {
		begin := time.Now()
		post(b, client, v.URL+"/echo")
		between := time.Now()
		call(b, f, subjects.ExecuteAction, ada, request)
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
