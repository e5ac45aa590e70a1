package auth

import (
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// erasureAuth is the name under which auth's own answer is recorded, in the first round.
const erasureAuth = "auth"

// complete reports whether every actor, auth included, has answered the erasure's current round.
func (r erasureRow) complete(answers []erasureAnswerRow) bool {
	expected := subjects.ErasingActors()
	if r.Round == erasureFirst {
		expected = append(expected, erasureAuth)
	}
	return !slices.ContainsFunc(expected, func(actor string) bool {
		return !slices.ContainsFunc(answers, func(x erasureAnswerRow) bool { return x.Actor == actor && x.Round == r.Round && x.At != 0 })
	})
}

// status returns what getErasure answers: the state of the erasure, by actor.
func (r erasureRow) status(answers []erasureAnswerRow) subjects.ErasureStatus {
	s := subjects.ErasureStatus{
		ErasureID: r.ID, Status: "erasing", RequestedAt: fromMicros(r.RequestedAt),
		ErasedAt: actors.OptionalTime(r.ErasedAt), SettledAt: actors.OptionalTime(r.SettledAt),
	}
	if r.ErasedAt != 0 {
		s.Status = "erased"
	}
	for _, actor := range append([]string{erasureAuth}, subjects.ErasingActors()...) {
		of := subjects.ActorErasure{Actor: actor, Status: "pending"}
		for _, x := range answers {
			if x.Actor == actor && x.At != 0 {
				of.Status, of.Items, of.At = "erased", of.Items+x.Items, actors.OptionalTime(x.At)
			}
		}
		s.Actors = append(s.Actors, of)
	}
	return s
}
