package runtime

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// classify gives the errors of databases, buckets and ended contexts a code. Errors with a code and all others are returned
// unchanged; an error without a code is reported as internal.
func classify(ctx context.Context, err error) error {
	var coded *subjects.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	err = database.Classify(err)
	switch {
	case ctx.Err() == nil && (kv.IsServerFault(err) || errors.Is(err, kv.ErrUnavailable) || errors.Is(err, database.ErrUnavailable)):
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "a store cannot be reached at present", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "the request took too long", Cause: err}
	}
	return err
}
