package e2e_test

import (
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestTerminationDrainsRequests sends SIGTERM during a request: weft responds to it, rejects new connections and exits with 0.
func TestTerminationDrainsRequests(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	shop := startStubProvider(t, map[string]string{"/n/1": `{"n": 1}`})
	ada, _ := signUp(t, weft.ready.HTTP)
	ada.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	shop.connect(t, ada, "shop")
	workflow := ada.must(t, 201, "POST", "/v1/workflows", oneCall, "Content-Type: application/yaml").text(".id")

	shop.hold("/n/1")
	answered := make(chan answer, 1)
	go func() {
		a, err := ada.do(t.Context(), "POST", "/v1/workflows/"+workflow+"/execute", []byte(`{"input":{"n":1}}`))
		if err != nil {
			a.body = []byte(err.Error())
		}
		answered <- a
	}()
	if err := eventually(func() (bool, string) { return shop.count("/n/1") == 1, "the shop has not been called" }); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- weft.stop() }()
	err := eventually(func() (bool, string) {
		a, err := newClient(weft.ready.HTTP).do(t.Context(), "GET", "/healthz", nil)
		return err != nil, a.String()
	})
	if err != nil {
		t.Fatalf("a stopping weft accepts requests: %v", err)
	}
	shop.release("/n/1")
	if a := <-answered; a.status != 200 || a.text(".status") != subjects.ExecutionCompleted || a.text(".output.n") != "1" {
		t.Errorf("the response to the request in flight is %s", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
