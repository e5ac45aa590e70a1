package runtime

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// runOnce runs a mutating call once per idempotency key of its caller, and replays the recorded answer to further calls. The keys of
// anonymous callers are separated by IP address.
func (r *Runtime) runOnce(
	ctx context.Context, d *subjects.Descriptor, key string, data []byte, run func(context.Context) ([]byte, error),
) (reply []byte, replayed bool, err error) {
	if len(key) > mesh.MaxIdempotencyKey {
		return nil, false, subjects.InvalidField(mesh.HeaderIdempotencyKey, "longer than %d bytes", mesh.MaxIdempotencyKey)
	}
	caller := actors.CallerFrom(ctx)
	owner := caller.String()
	if caller.UserID == "" && caller.Service == "" {
		owner += "|" + caller.Origin.IP
	}
	hash := requestHash(d, data)
	var failure error
	answer, replayed, err := r.Idempotency.Do(ctx,
		idempotency.Key{Endpoint: d.Subject, Caller: owner, Key: key}, hash, d.Secret,
		func(ctx context.Context) (idempotency.Answer, error) {
			body, err := run(ctx)
			if err == nil {
				return idempotency.Answer{Body: body}, nil
			}
			err = classify(ctx, err)
			failure = err
			if subjects.Transient(err) {
				return idempotency.Answer{}, err
			}
			problem, e := subjects.Encode(subjects.ProblemOf(err, "", ""))
			if e != nil {
				return idempotency.Answer{}, e
			}
			return idempotency.Answer{Header: map[string][]string{mesh.HeaderErrorCode: {string(subjects.CodeOf(err))}}, Body: problem}, err
		})
	switch {
	case errors.Is(err, idempotency.ErrMismatch):
		return nil, false, subjects.Errorf(subjects.CodeIdempotencyMismatch, "the Idempotency-Key was used with another request")
	case errors.Is(err, idempotency.ErrTooMany):
		return nil, false, &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached,
			Detail: "too many Idempotency-Keys were used in 24 hours: at most 200,000 of a caller, with 256 MiB of answers", Cause: err,
		}
	case errors.Is(err, idempotency.ErrInProgress):
		return nil, false, &subjects.Error{
			Code: subjects.CodeConflict, Reason: subjects.ReasonInProgress, Detail: "a call with this Idempotency-Key is in progress",
			RetryAfter: subjects.RetrySoon, Cause: err,
		}
	case failure != nil:
		return nil, false, failure
	case err != nil:
		return nil, false, err
	case replayed && len(answer.Header[mesh.HeaderErrorCode]) > 0:
		return nil, true, subjects.ParseProblem(answer.Body)
	}
	return answer.Body, replayed, nil
}
