package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// mailer queues e-mail messages and hands them to the notification actor. The text of a message is sealed in its row
// until it is handed over.
type mailer struct {
	actors.Deps

	config Config
	macKey []byte // hashes the addresses of decoy messages
}

// messageContext is the associated data of a message's sealed text; it names the table.
func messageContext(id string) []byte { return []byte("messages/" + id) }

// send queues a message in the transaction: the sealed text goes into the message's row, the job that delivers it into
// the outbox. If the budget of its purpose is used up, the message waits for the next slot, and is dropped only if
// another one of the account waits already, which serves for it: nobody can flood another person's mailbox, and nobody
// can keep a message from arriving.
func (m *mailer) send(ctx context.Context, tx database.Tx, msg message, text messageText) error {
	now := m.Now().UTC()
	msg.ID, msg.CreatedAt = m.NewID(), now
	msg.Source = lockout.HashedKey(m.macKey, lockout.Source(actors.CallerFrom(ctx).Origin.IP))
	rule := m.config.budgetOf(msg.Purpose)
	sent, err := countMessages(ctx, tx, msg, now.Add(-rule.window), now)
	if err != nil {
		return err
	}
	if msg.SendAt, msg.Surplus = rule.slot(sent, now); msg.SendAt.IsZero() {
		return nil
	}
	if msg.ExpiresAt.IsZero() {
		msg.ExpiresAt = msg.SendAt.Add(m.config.TokenTTL)
	}
	plain, err := json.Marshal(text)
	if err != nil {
		return fmt.Errorf("encoding an e-mail message: %w", err)
	}
	sealed, err := m.Sealer.Seal(plain, messageContext(msg.ID))
	if err != nil {
		return err
	}
	if err := addMessage(ctx, tx, msg, sealed); err != nil {
		return err
	}
	job, err := json.Marshal(subjects.SendMailJob{MessageID: msg.ID})
	if err != nil {
		return fmt.Errorf("encoding a job: %w", err)
	}
	return m.Outbox.Add(ctx, tx, outbox.Message{ID: msg.ID, Subject: subjects.SendMail.Subject, Data: job})
}

// sendVerification queues a message with a token that proves control of the address. The purpose is purposeVerify or
// purposeChangeEmail.
func (m *mailer) sendVerification(ctx context.Context, tx database.Tx, userID, email, purpose string) error {
	token, hash := newToken()
	msg := message{UserID: userID, Email: email, Purpose: purpose, TokenHash: hash}
	text := verificationText
	if purpose == purposeChangeEmail {
		text = changeEmailText
	}
	return m.send(ctx, tx, msg, text(m.config.VerifyURL, token, m.config.TokenTTL))
}

// sendDecoy does the same work as send for an address that gets no message, so that the duration of a call does not
// reveal whether the address has an account. The message has no recipient, its token is discarded, and the address is
// stored only as a keyed hash.
func (m *mailer) sendDecoy(ctx context.Context, tx database.Tx, email, purpose string, text func(token string) messageText) error {
	token, hash := newToken()
	msg := message{Email: "nobody:" + lockout.HashedKey(m.macKey, email), Purpose: purpose, TokenHash: hash}
	return m.send(ctx, tx, msg, text(token))
}

// notify queues a security notice to a user, who can also list it in the app. purpose is one of the purposes of security
// notices.
func (m *mailer) notify(ctx context.Context, tx database.Tx, u user, purpose string, text messageText) error {
	return m.send(ctx, tx, message{UserID: u.ID, ToUser: true, Email: u.Email, Purpose: purpose}, text)
}

// deliver hands a message to the notification actor and deletes its text. Repeated calls are harmless: the notification
// actor deduplicates by the message's ID.
func (m *mailer) deliver(ctx context.Context, id string) error {
	msg, sealed, err := messageByID(ctx, m.DB.DB, id)
	if err != nil || sealed == nil {
		return err
	}
	plain, err := m.Sealer.Open(sealed, messageContext(msg.ID))
	if err != nil {
		return err
	}
	if msg.UserID == "" { // a decoy
		return m.clearText(ctx, msg)
	}
	var text messageText
	if err := json.Unmarshal(plain, &text); err != nil {
		return fmt.Errorf("decoding an e-mail message: %w", err)
	}
	data := make(map[string]json.RawMessage, len(text.Data))
	for name, value := range text.Data {
		if data[name], err = subjects.Encode(value); err != nil {
			return fmt.Errorf("encoding an e-mail message: %w", err)
		}
	}
	to, channels := msg.ID, []string{"email"}
	if msg.ToUser {
		to, channels = msg.UserID, []string{"in_app", "email"}
	}
	var sendAt *time.Time
	if msg.SendAt.After(m.Now()) {
		sendAt = &msg.SendAt
	}
	_, err = mesh.Call(ctx, m.Conn, subjects.SendNotification, subjects.SendNotificationRequest{
		UserID: to, Category: "security", Channels: channels, Template: text.Template, Data: data, DedupeKey: "auth." + msg.ID, SendAt: sendAt,
	}, mesh.As{Service: true, UserID: to})
	if err != nil {
		return err
	}
	return m.clearText(ctx, msg)
}

func (m *mailer) clearText(ctx context.Context, msg message) error {
	return m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return clearMessageText(ctx, tx, msg.ID) })
}

// messageSweepInterval is the time between two deletions of expired messages.
const messageSweepInterval = time.Hour

// sweep deletes messages that expired more than messageRetention ago, until ctx ends.
func (m *mailer) sweep(ctx context.Context) error {
	return wait.Repeat(ctx, messageSweepInterval, func(ctx context.Context) error {
		return m.DB.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
			return deleteMessages(ctx, tx, m.Now().Add(-messageRetention), sweepBatch)
		})
	})
}

// findByToken returns the message that carried a token, and the account it is about. The error is CodeInvalid if the
// token is invalid or expired, or if the account is gone or disabled.
func (m *mailer) findByToken(ctx context.Context, token string, purposes ...string) (message, user, error) {
	msg, err := messageByToken(ctx, m.DB.DB, token, m.Now(), purposes...)
	if isNotFound(err) {
		err = errToken()
	}
	if err != nil {
		return message{}, user{}, err
	}
	u, err := userByID(ctx, m.DB.DB, msg.UserID)
	if isNotFound(err) || err == nil && u.Disabled {
		err = errToken()
	}
	return msg, u, err
}
