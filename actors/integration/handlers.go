package integration

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// asError returns a coded error as it is, and makes any other, which comes from a store, CodeUnavailable.
func asError(err error) error {
	var coded *subjects.Error
	if errors.As(err, &coded) {
		return err
	}
	return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a store cannot be reached right now", RetryAfter: subjects.RetrySoon, Cause: err}
}

// notStarted adds ReasonNotStarted to the error of a call if weft's own stores or guard cannot be reached and no attempt of the call was sent. The
// outcome is nil if none was started.
func notStarted(ctx context.Context, o *outcome, err error) error {
	if ctx.Err() != nil || o != nil && (o.refused == nil || o.attempts > 1) {
		return err
	}
	var coded *subjects.Error
	isCoded := errors.As(err, &coded)
	isStore := errors.Is(err, kv.ErrUnavailable) || errors.Is(err, database.ErrUnavailable) || errors.Is(database.Classify(err), database.ErrUnavailable)
	if isCoded && (coded.Code != subjects.CodeUnavailable || coded.Reason != "") || !isCoded && !isStore {
		return err
	}
	result := subjects.Error{Code: subjects.CodeUnavailable, Detail: "a store cannot be reached right now", RetryAfter: subjects.RetrySoon, Cause: err}
	if isCoded {
		result = *coded
	}
	result.Reason = subjects.ReasonNotStarted
	return &result
}

// errorDetail is an error's text as callers may see it.
func errorDetail(err error) string {
	var coded *subjects.Error
	if errors.As(err, &coded) {
		return coded.Detail
	}
	return "an internal error"
}

// providerParam finds the provider that a request's body names in the field provider.
func (a *Actor) providerParam(id string) (*manifest.Provider, error) {
	p, err := a.registry.find(id)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return nil, subjects.InvalidField("provider", "is unknown")
	}
	return p, err
}
