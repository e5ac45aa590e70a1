package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func letterContext(id string) []byte { return []byte("letters/" + id) }

// post puts a letter on its way, with the transaction: the text goes sealed into its row, the job that hands it
// over into the outbox. An address that had its share of such letters in the last hour gets none, silently:
// nobody's mailbox is to be filled by a stranger.
func (a *Actor) post(ctx context.Context, tx actors.Tx, l letter, says text) error {
	l.ID, l.CreatedAt = a.NewID(), a.Now().UTC()
	if l.ExpiresAt.IsZero() {
		l.ExpiresAt = l.CreatedAt.Add(a.config.TokenTTL)
	}
	sent, err := lettersSince(ctx, tx, l.Email, l.Purpose, l.CreatedAt.Add(-time.Hour))
	if err != nil || sent >= int64(a.config.LettersPerHour) {
		return err
	}
	plain, err := json.Marshal(says)
	if err != nil {
		return fmt.Errorf("encoding a letter: %w", err)
	}
	sealed, err := a.Sealer.Seal(plain, letterContext(l.ID))
	if err != nil {
		return err
	}
	if err := addLetter(ctx, tx, l, sealed); err != nil {
		return err
	}
	job, err := json.Marshal(subjects.SendMailJob{LetterID: l.ID})
	if err != nil {
		return fmt.Errorf("encoding a job: %w", err)
	}
	return a.Outbox.Add(ctx, tx, actors.Message{ID: l.ID, Subject: subjects.SendMail.Subject, Data: job})
}

// postVerification asks the owner of an address to prove it; the purpose says what the proof brings about.
func (a *Actor) postVerification(ctx context.Context, tx actors.Tx, userID, email, purpose string) error {
	token, hash := newLetterToken()
	l := letter{UserID: userID, Email: email, Purpose: purpose, TokenHash: hash}
	says := verificationText
	if purpose == forNewEmail {
		says = newEmailText
	}
	return a.post(ctx, tx, l, says(a.config.VerifyURL, token, a.config.TokenTTL))
}

// postNothing does what post does, for an address that gets no letter of that purpose: what a call takes must not tell
// whether there is an account. The letter goes to nobody and its token is known to nobody; the address is not kept.
func (a *Actor) postNothing(ctx context.Context, tx actors.Tx, email, purpose string, says func(token string) text) error {
	token, hash := newLetterToken()
	l := letter{Email: "nobody:" + a.attempts.key(email), Purpose: purpose, TokenHash: hash}
	return a.post(ctx, tx, l, says(token))
}

// notify tells a user what happened to their account, where they can also list it.
func (a *Actor) notify(ctx context.Context, tx actors.Tx, u user, says text) error {
	return a.post(ctx, tx, letter{UserID: u.ID, ToUser: true, Email: u.Email, Purpose: forNotice}, says)
}

// sendLetter hands a letter to the notification actor; what is handed over is forgotten.
func (a *Actor) sendLetter(ctx context.Context, job subjects.SendMailJob) error {
	l, sealed, err := letterByID(ctx, a.DB.DB, job.LetterID)
	if err != nil || sealed == nil {
		return err
	}
	plain, err := a.Sealer.Open(sealed, letterContext(l.ID))
	if err != nil {
		return err
	}
	if l.UserID == "" {
		return a.handOver(ctx, l)
	}
	var says text
	if err := json.Unmarshal(plain, &says); err != nil {
		return fmt.Errorf("decoding a letter: %w", err)
	}
	to, channels := l.ID, []string{"email"}
	if l.ToUser {
		to, channels = l.UserID, []string{"in_app", "email"}
	}
	_, err = mesh.Call(ctx, a.Conn, subjects.SendNotification, subjects.SendNotificationRequest{
		UserID: to, Category: "security", Channels: channels, Subject: says.Subject, Body: says.Body, DedupeKey: "auth." + l.ID,
	}, mesh.As{Service: true, UserID: to})
	if err != nil {
		return err
	}
	return a.handOver(ctx, l)
}

func (a *Actor) handOver(ctx context.Context, l letter) error {
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error { return handedOver(ctx, tx, l.ID) })
}

// lettersEvery is the pause between two looks for letters that nobody needs any more.
const lettersEvery = time.Hour

func (a *Actor) sweepLetters(ctx context.Context) error {
	tick := time.NewTicker(lettersEvery)
	defer tick.Stop()
	for {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
			return dropLetters(ctx, tx, a.Now().Add(-letterKept))
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// goodLetter finds the letter that a token came with and the account that it is about; CodeInvalid where either is
// not good any more.
func (a *Actor) goodLetter(ctx context.Context, token string, purposes ...string) (letter, user, error) {
	l, err := letterByToken(ctx, a.DB.DB, token, a.Now(), purposes...)
	if err != nil {
		return letter{}, user{}, err
	}
	u, err := userByID(ctx, a.DB.DB, l.UserID)
	if subjects.CodeOf(err) == subjects.CodeNotFound || err == nil && u.Disabled {
		err = errToken()
	}
	return l, u, err
}
