package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Actions of audit events.
const (
	auditRegister       = "register"
	auditLogin          = "login"
	auditLockout        = "lockout"
	auditSessionEnd     = "session_end"
	auditTokenReuse     = "token_reuse"
	auditStepUp         = "step_up"
	auditResetRequest   = "password_reset_request"
	auditReset          = "password_reset"
	auditPasswordChange = "password_change"
	auditVerifyRequest  = "email_verification_request"
	auditVerify         = "email_verification"
	auditEmailRequest   = "email_change_request"
	auditMFA            = "mfa"
	auditMFAEnroll      = "mfa_enroll"
	auditMFAOn          = "mfa_on"
	auditMFAOff         = "mfa_off"
	auditPasskeyOn      = "passkey_add"
	auditPasskeyOff     = "passkey_remove"
	auditPasskeyCopy    = "passkey_copy"
	auditKeyCreate      = "api_key_create"
	auditKeyRevoke      = "api_key_revoke"
	auditAdminister     = "account_administered"
	auditEndSessions    = "sessions_end"
	auditEndAll         = "sessions_end_all"
	auditEmailChange    = "email_change"
	auditKeys           = "keys_rotate"
	auditOAuth          = "oauth_login"
	auditOAuthRefresh   = "oauth_refresh"
	auditClaim          = "account_claimed"
	auditLink           = "identity_link"
	auditUnlink         = "identity_unlink"
	auditDelete         = "account_delete"
)

// Outcomes of audit events.
const (
	auditSuccess = "success"
	auditFailure = "failure"
)

// nobody is the user token of the audit subject for an event that concerns no account.
const nobody = "nobody"

// recorder writes events and audit entries to the outbox, in the transaction of the change that they report.
type recorder struct {
	actors.Deps

	retention time.Duration // of the audit events that users can list
	keep      int           // how many of them are kept for a user
}

// publish adds an event to the outbox. Events of one user keep their order.
func publish[T any](ctx context.Context, r *recorder, tx database.Tx, e subjects.Event[T], userID string, data T) error {
	id := r.NewID()
	message, err := subjects.Encode(e.New(id, userID, r.Now(), data))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return r.Outbox.Add(ctx, tx, outbox.Message{ID: id, Subject: e.Subject, Key: userID, Data: message})
}

// auditEntry is a security event without its time and the caller's origin, which audit adds.
type auditEntry struct {
	action, outcome   string
	userID, sessionID string
	detail            map[string]string
}

// audit adds a security event to the outbox, for the stream AUDIT, and to the table of events that the user can list.
func (r *recorder) audit(ctx context.Context, tx database.Tx, e auditEntry) error {
	caller := actors.CallerFrom(ctx)
	record := subjects.AuthAuditEntry{
		ID: r.NewID(), Time: r.Now().UTC(), Actor: "auth", Action: e.action, Outcome: e.outcome,
		UserID: e.userID, SessionID: e.sessionID, IP: caller.Origin.IP, UserAgent: truncateUserAgent(caller.Origin.UserAgent),
		RequestID: mesh.RequestID(ctx), TraceID: mesh.TraceID(ctx), Detail: e.detail,
	}
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encoding an audit entry: %w", err)
	}
	about := e.userID
	if about == "" {
		about = nobody
	}
	if err := addAuditEvent(ctx, tx, record, about); err != nil {
		return err
	}
	return r.Outbox.Add(ctx, tx, outbox.Message{
		ID: record.ID, Subject: subjects.AuditSubject("auth", about), Key: about, Data: data,
	})
}

// auditSweepInterval is the time between two deletions of old audit events.
const auditSweepInterval = time.Hour

// sweepBatch bounds the rows that one transaction of a sweep deletes: on SQLite other writers wait for it.
const sweepBatch = 500

// sweep deletes listed audit events older than the retention time, and all but a user's newest, until ctx ends. The stream AUDIT
// keeps them.
func (r *recorder) sweep(ctx context.Context) error {
	return wait.Repeat(ctx, auditSweepInterval, func(ctx context.Context) error {
		// A user without new events has no more than at the last sweep, which another process may have made.
		users, err := usersOfManyAuditEvents(ctx, r.DB.DB, r.Now().Add(-2*auditSweepInterval), r.keep)
		if err != nil {
			return err
		}
		for _, userID := range users {
			err := r.DB.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
				return keepAuditEvents(ctx, tx, userID, r.keep, sweepBatch)
			})
			if err != nil {
				return err
			}
		}
		return r.DB.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
			return deleteAuditEvents(ctx, tx, r.Now().Add(-r.retention), sweepBatch)
		})
	})
}

// maxUserAgent is the length, in bytes, to which user agents are truncated.
const maxUserAgent = 256

// truncateUserAgent truncates a user agent to maxUserAgent bytes, at a character boundary.
func truncateUserAgent(userAgent string) string {
	if len(userAgent) <= maxUserAgent {
		return userAgent
	}
	cut := maxUserAgent
	for cut > 0 && userAgent[cut]&0xC0 == 0x80 {
		cut--
	}
	return userAgent[:cut]
}
