package workflow

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/extension"
	"github.com/weftmesh/weft/subjects"
)

// newExtensions returns the caller of extensions, with the registry of what they serve.
func (a *Actor) newExtensions() (*extension.Caller, error) {
	registry := extension.NewRegistry(extension.Options{
		Config: a.config.Extensions, Conn: a.Conn, Log: a.Log, Now: a.Now,
		Load: func(ctx context.Context) ([]extension.Stored, error) { return storedExtensions(ctx, a.DB.DB) },
		Save: func(ctx context.Context, s extension.Stored) error {
			return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return putExtension(ctx, tx, s) })
		},
	})
	return extension.NewCaller(registry, extension.CallerOptions{
		Metrics: a.Metrics, NewID: a.NewID, Issuer: a.Issuer, Retries: a.config.StepRetries, RetryDelay: a.config.StepRetryDelay,
		Stopping: a.engine.Stopped(),
	})
}

// getExtensionKeys answers with the keys that verify calls of extensions.
func (a *Actor) getExtensionKeys(context.Context, subjects.Empty) (subjects.ExtensionKeys, error) {
	return subjects.ExtensionKeys{Keys: a.extensions.Keys()}, nil
}

// listExtensions lists the enrolled extensions.
func (a *Actor) listExtensions(ctx context.Context, r subjects.PageRequest) (subjects.Page[subjects.ExtensionState], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.ExtensionState]{}, err
	}
	states, err := a.extensions.All(ctx, versionFreshness)
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
