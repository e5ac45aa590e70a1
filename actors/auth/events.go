package auth

import (
	"context"

	"github.com/weftmesh/weft/subjects"
)

// sendMessage consumes the jobs that deliver e-mail messages.
func (a *Actor) sendMessage(ctx context.Context, job subjects.SendMailJob) error {
	return a.mailer.deliver(ctx, job.LetterID)
}

// noteErasure consumes the answers of the other actors to a deletion.
func (a *Actor) noteErasure(ctx context.Context, e subjects.Envelope[subjects.Erasure]) error {
	return a.erasures.recordAnswer(ctx, e.Data)
}
