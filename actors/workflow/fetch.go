package workflow

import (
	"context"
	"fmt"
	"net/http"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// fetch reads a text that a definition refers to. Its errors are a *machine.Error.
func (a *Actor) fetch(ctx context.Context, uri string) ([]byte, error) {
	answer, err := a.egress.Do(ctx, egress.Request{Method: http.MethodGet, URL: uri, Timeout: fetchWithin, MaxBody: maxFetched})
	if err != nil {
		return nil, faultOf(err)
	}
	if answer.Status != http.StatusOK {
		return nil, machine.NewError(machine.TypeCommunication, fmt.Sprintf("the answer has status %d", answer.Status))
	}
	return answer.Body, nil
}
