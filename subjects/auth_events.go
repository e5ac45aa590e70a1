package subjects

import "time"

// UserRegistered is the data of UserRegisteredEvent. It carries no personal data; subscribers query what they need.
type UserRegistered struct {
	UserID string `json:"user_id"`
}

// UserRegisteredEvent is published when an account has been created.
var UserRegisteredEvent = declareEvent(Event[UserRegistered]{
	Subject: "weft.event.v1.auth.user_registered", Doc: "An account was created.",
})

// UserUpdated names the changed fields of an account.
type UserUpdated struct {
	UserID string   `json:"user_id"`
	Fields []string `json:"fields"`
}

// UserUpdatedEvent is published when an account has changed.
var UserUpdatedEvent = declareEvent(Event[UserUpdated]{
	Subject: "weft.event.v1.auth.user_updated", Doc: "An account's profile, address or roles changed.",
})

// SessionStarted is the data of SessionStartedEvent.
type SessionStarted struct {
	SessionID string `json:"session_id"`
	Method    string `json:"method" enum:"password,password_totp,oauth,passkey"`
}

// SessionStartedEvent is published when a user has signed in.
var SessionStartedEvent = declareEvent(Event[SessionStarted]{
	Subject: "weft.event.v1.auth.session_started", Doc: "A user signed in.",
})

// SessionEnded is the data of SessionEndedEvent.
type SessionEnded struct {
	SessionID string `json:"session_id"`
	Reason    string `json:"reason" enum:"logout,revoked,too_many,token_reuse,disabled,password_changed,mfa_changed,identity_removed,deleted,admin,replaced"`
}

// SessionEndedEvent is published when a session was ended before its expiry and its tokens are refused everywhere.
var SessionEndedEvent = declareEvent(Event[SessionEnded]{
	Subject: "weft.event.v1.auth.session_ended", Doc: "A session was ended before its expiry.",
})

// AuthAuditEntry is a security event as stored in the stream AUDIT. It carries no secret, and as personal data only ids,
// addresses and user agents.
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
