package workflow

import (
	"context"
	"fmt"
	"net/http"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// fetch reads a text that a definition refers to. Its errors are a *machine.Error.
func (a *Actor) fetch(ctx context.Context, uri string) ([]byte, error) {
	answer, err := a.egress.Do(ctx, egress.Request{Method: http.MethodGet, URL: uri, Timeout: definition.FetchTimeout, MaxBody: definition.MaxFetched})
	if err != nil {
		return nil, engine.FaultOf(err)
	}
	if answer.Status != http.StatusOK {
		return nil, machine.NewError(machine.TypeCommunication, fmt.Sprintf("the answer has status %d", answer.Status))
	}
	return answer.Body, nil
}
