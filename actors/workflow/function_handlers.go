package workflow

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// providerTimeout bounds the request for one provider that a definition names.
const providerTimeout = 2 * time.Second

// provider returns what a definition's calls are checked against: a provider's actions or, if there is no such provider, the
// ids of all. It returns nil if the integration actor does not answer: the actions are then not checked.
func (a *Actor) provider(ctx context.Context, id string) *definition.Provider {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	as := mesh.As{Service: true, UserID: actors.CallerFrom(ctx).UserID}
	detail, err := mesh.Call(ctx, a.Conn, subjects.GetProvider, subjects.ProviderRequest{Provider: id}, as)
	if err == nil {
		found := &definition.Provider{Actions: make(map[string]map[string]any, len(detail.Actions))}
		for _, action := range detail.Actions {
			found.Actions[action.ID] = action.Input
		}
		return found
	}
	if code := subjects.CodeOf(err); code != subjects.CodeNotFound && code != subjects.CodeInvalid {
		return nil
	}
	unknown := &definition.Provider{}
	request := subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Limit: 200}}
	for {
		page, err := mesh.Call(ctx, a.Conn, subjects.ListProviders, request, as)
		for _, p := range page.Items {
			unknown.Known = append(unknown.Known, p.ID)
		}
		if request.Cursor = page.NextCursor; err != nil || request.Cursor == "" {
			return unknown
		}
	}
}

// listFunctions lists what a call task may name: weft's own functions and those of extensions, or a provider's actions if the request names
// one.
func (a *Actor) listFunctions(ctx context.Context, r subjects.ListFunctionsRequest) (subjects.FunctionList, error) {
	list := subjects.FunctionList{Items: []subjects.WorkflowFunction{}}
	switch {
	case r.Provider != "" && r.Extension != "":
		return list, subjects.InvalidField("extension", "cannot be combined with provider")
	case r.Provider == "":
		functions, err := a.extensions.listFunctions(ctx, r.Extension)
		if r.Extension == "" {
			list.Items = definition.BuiltInFunctions()
			if err != nil { // weft's own are known all the same
				a.Log.Warn("listing the functions of extensions failed", zap.Error(err))
				err = nil
			}
		}
		list.Items = append(list.Items, functions...)
		return list, err
	}
	provider, err := mesh.Call(ctx, a.Conn, subjects.GetProvider, subjects.ProviderRequest{Provider: r.Provider}, mesh.As{
		Service: true, UserID: actors.CallerFrom(ctx).UserID,
	})
	if err != nil {
		return list, err
	}
	for _, action := range provider.Actions {
		f := subjects.WorkflowFunction{
			Name: provider.ID + "." + action.ID, Doc: strings.TrimSpace(action.Title + "\n\n" + action.Description),
			Input: definition.WithConnection(action.Input), Safety: action.Safety,
		}
		f.Output, _ = action.OutputSchema.(map[string]any)
		list.Items = append(list.Items, f)
	}
	return list, nil
}
