package workflow

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/extension"
	"github.com/weftmesh/weft/subjects"
)

// extensions finds and calls the functions of extensions, and takes their events.
type extensions struct {
	actors.Deps
	*extension.Caller

	config   Config
	triggers *triggers
	rates    eventRates
}

// newExtensions returns what serves extensions. stopping is closed when the process begins to stop.
func newExtensions(d actors.Deps, config Config, stopping <-chan struct{}) (*extensions, error) {
	registry := extension.NewRegistry(extension.Options{
		Config: config.Extensions, Conn: d.Conn, Log: d.Log, Now: d.Now,
		Load: func(ctx context.Context) ([]extension.Stored, error) { return storedExtensions(ctx, d.DB.DB) },
		Save: func(ctx context.Context, s extension.Stored) error {
			return d.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return putExtension(ctx, tx, s) })
		},
	})
	caller, err := extension.NewCaller(registry, extension.CallerOptions{
		Metrics: d.Metrics, NewID: d.NewID, Issuer: d.Issuer, Retries: config.StepRetries, RetryDelay: config.StepRetryDelay, Stopping: stopping,
	})
	if err != nil {
		return nil, err
	}
	return &extensions{Deps: d, Caller: caller, config: config, rates: eventRates{perMinute: config.Extensions.MaxEvents}}, nil
}

// getKeys answers with the keys that verify calls of extensions.
func (x *extensions) getKeys(context.Context, subjects.Empty) (subjects.ExtensionKeys, error) {
	return subjects.ExtensionKeys{Keys: x.Caller.Keys()}, nil
}

// list lists the enrolled extensions.
func (x *extensions) list(ctx context.Context, r subjects.PageRequest) (subjects.Page[subjects.ExtensionState], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.ExtensionState]{}, err
	}
	states, err := x.All(ctx, versionFreshness)
	if err != nil {
		return subjects.Page[subjects.ExtensionState]{}, err
	}
	page := subjects.Page[subjects.ExtensionState]{Items: []subjects.ExtensionState{}}
	size := 0
	for _, state := range states {
		if state.Name <= after[0] {
			continue
		}
		item := extensionResource(state)
		data, err := subjects.Encode(item)
		if err != nil {
			return page, err
		}
		if size += len(data); len(page.Items) == r.PageLimit() || len(page.Items) > 0 && size > maxExtensionPage {
			page.NextCursor = actors.EncodeCursor(page.Items[len(page.Items)-1].Name)
			return page, nil
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

// maxExtensionPage bounds a page of extensions, in bytes.
const maxExtensionPage = 512 << 10

// extensionResource returns a state for the operator.
func extensionResource(state *extension.State) subjects.ExtensionState {
	r := subjects.ExtensionState{
		Name: state.Name, State: "down", EnrolledAt: state.EnrolledAt, Copies: state.Copies, Versions: state.Versions,
		Functions: []subjects.ExtensionFunction{}, Fault: state.Fault,
	}
	if state.Up {
		r.State = "up"
	}
	if r.Versions == nil {
		r.Versions = []string{}
	}
	if !state.SeenAt.IsZero() {
		seen := state.SeenAt.UTC().Truncate(time.Microsecond)
		r.LastSeenAt = &seen
	}
	for _, f := range state.Functions {
		one := subjects.ExtensionFunction{
			Name: f.FullName(), Version: f.Version, Summary: f.Summary, Safety: string(f.Safety), Scope: f.Scope, Timeout: f.Timeout.String(),
			Copies: f.Copies, Fault: f.Fault,
		}
		if f.Heartbeat > 0 {
			one.Heartbeat = f.Heartbeat.String()
		}
		r.Functions = append(r.Functions, one)
	}
	return r
}
