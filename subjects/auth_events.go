package subjects

import "time"

// UserRegistered tells of a new account. It carries no personal data: who needs some asks for it.
type UserRegistered struct {
	UserID string `json:"user_id"`
}

// UserRegisteredEvent is told once an account is open.
var UserRegisteredEvent = declareEvent(Event[UserRegistered]{
	Subject: "weft.event.v1.auth.user_registered", Doc: "An account was opened.",
})

// UserUpdated names what changed of an account.
type UserUpdated struct {
	UserID string   `json:"user_id"`
	Fields []string `json:"fields"`
}

// UserUpdatedEvent is told once an account has changed.
var UserUpdatedEvent = declareEvent(Event[UserUpdated]{
	Subject: "weft.event.v1.auth.user_updated", Doc: "An account's profile, address or roles changed.",
})

// SessionStarted tells of a sign-in.
type SessionStarted struct {
	SessionID string `json:"session_id"`
	Method    string `json:"method" enum:"password,password_totp,oauth,passkey"`
}

// SessionStartedEvent is told when a user has signed in.
var SessionStartedEvent = declareEvent(Event[SessionStarted]{
	Subject: "weft.event.v1.auth.session_started", Doc: "A user signed in.",
})

// SessionEnded tells of a session's end before its time.
type SessionEnded struct {
	SessionID string `json:"session_id"`
	Reason    string `json:"reason" enum:"logout,revoked,too_many,token_reuse,disabled,password_changed,mfa_changed,identity_removed,deleted,admin,replaced"`
}

// SessionEndedEvent is told once a session's tokens are refused everywhere.
var SessionEndedEvent = declareEvent(Event[SessionEnded]{
	Subject: "weft.event.v1.auth.session_ended", Doc: "A session was ended before its time.",
})

// AuthAuditEntry is a security event as the stream AUDIT keeps it. It carries no secret, and of persons
// their id and where they came from.
type AuthAuditEntry struct {
	ID        string            `json:"id"`
	Time      time.Time         `json:"time"`
	Actor     string            `json:"actor"`
	Action    string            `json:"action"`
	Outcome   string            `json:"outcome" enum:"success,failure"`
	UserID    string            `json:"user_id,omitempty"`
	SessionID string            `json:"session_id,omitempty"`
	IP        string            `json:"ip,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	TraceID   string            `json:"trace_id,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
}
