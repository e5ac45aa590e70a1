package workflow

import (
	"context"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// listFunctions lists what a call task may name: weft's own functions, or a provider's actions if the request names one.
func (a *Actor) listFunctions(ctx context.Context, r subjects.ListFunctionsRequest) (subjects.FunctionList, error) {
	list := subjects.FunctionList{Items: []subjects.WorkflowFunction{}}
	if r.Provider == "" {
		list.Items = builtInFunctions()
		return list, nil
	}
	provider, err := mesh.Call(ctx, a.Conn, subjects.GetProvider, subjects.ProviderRequest(r), mesh.As{
		Service: true, UserID: actors.CallerFrom(ctx).UserID,
	})
	if err != nil {
		return list, err
	}
	for _, action := range provider.Actions {
		f := subjects.WorkflowFunction{
			Name: provider.ID + "." + action.ID, Doc: strings.TrimSpace(action.Title + "\n\n" + action.Description),
			Input: withConnection(action.Input), Safety: action.Safety,
		}
		f.Output, _ = action.OutputSchema.(map[string]any)
		list.Items = append(list.Items, f)
	}
	return list, nil
}
