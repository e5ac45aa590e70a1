package auth

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Actions of the audit stream.
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

const (
	auditSuccess = "success"
	auditFailure = "failure"
)

// nobody is the audit subject's user where an event is about no account.
const nobody = "nobody"

// tell puts an event into the outbox, ordered by the user.
func tell[T any](ctx context.Context, a *Actor, tx database.Tx, e subjects.Event[T], userID string, data T) error {
	id := a.NewID()
	message, err := json.Marshal(e.New(id, userID, a.Now(), data))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{ID: id, Subject: e.Subject, Key: userID, Data: message})
}

// entry is what a security event adds to who and where.
type entry struct {
	action, outcome   string
	userID, sessionID string
	detail            map[string]string
}

// audit puts a security event into the outbox, and among those that its user sees.
func (a *Actor) audit(ctx context.Context, tx database.Tx, e entry) error {
	caller := actors.CallerFrom(ctx)
	record := subjects.AuthAuditEntry{
		ID: a.NewID(), Time: a.Now().UTC(), Actor: "auth", Action: e.action, Outcome: e.outcome,
		UserID: e.userID, SessionID: e.sessionID, IP: caller.Origin.IP, UserAgent: bounded(caller.Origin.UserAgent),
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
	return a.Outbox.Add(ctx, tx, outbox.Message{
		ID: record.ID, Subject: subjects.AuditSubject("auth", about), Key: about, Data: data,
	})
}

// maxUserAgent bounds what is kept of a user agent, in bytes.
const maxUserAgent = 256

// bounded cuts what a client calls itself to what is kept of it.
func bounded(userAgent string) string {
	if len(userAgent) <= maxUserAgent {
		return userAgent
	}
	cut := maxUserAgent
	for cut > 0 && userAgent[cut]&0xC0 == 0x80 {
		cut--
	}
	return userAgent[:cut]
}
