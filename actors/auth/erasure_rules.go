package auth

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// complete reports whether every actor has answered the erasure's current round.
func (r erasureRow) complete(answers []erasureAnswerRow) bool {
	return !slices.ContainsFunc(subjects.ErasingActors(), func(actor string) bool {
		return !slices.ContainsFunc(answers, func(x erasureAnswerRow) bool { return x.Actor == actor && x.Round == r.Round })
	})
}

// status returns what getErasure answers: the state of the erasure, by actor.
func (r erasureRow) status(answers []erasureAnswerRow) subjects.ErasureStatus {
	s := subjects.ErasureStatus{
		ErasureID: r.ID, Status: "erasing", RequestedAt: fromMicros(r.RequestedAt),
		ErasedAt: optionalTime(r.ErasedAt), SettledAt: optionalTime(r.SettledAt),
	}
	if r.ErasedAt != 0 {
		s.Status = "erased"
	}
	for _, actor := range append([]string{"auth"}, subjects.ErasingActors()...) {
		of := subjects.ActorErasure{Actor: actor, Status: "pending"}
		for _, x := range answers {
			if x.Actor == actor {
				of.Status, of.Items, of.At = "erased", of.Items+x.Items, optionalTime(x.At)
			}
		}
		s.Actors = append(s.Actors, of)
	}
	return s
}

// optionalTime returns a stored time, or nil if it is 0.
func optionalTime(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := fromMicros(micros)
	return &t
}
