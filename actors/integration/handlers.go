package integration

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// notFound maps errNotFound to the coded error that callers see, and returns any other error as it is.
func notFound(err error, resource string) error {
	if errors.Is(err, errNotFound) {
		return subjects.Errorf(subjects.CodeNotFound, "there is no such %s", resource)
	}
	return err
}

// asError returns a coded error as it is, and makes any other, which comes from a store, CodeUnavailable.
func asError(err error) error {
	var coded *subjects.Error
	if errors.As(err, &coded) {
		return err
	}
	return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a store cannot be reached right now", RetryAfter: time.Second, Cause: err}
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
