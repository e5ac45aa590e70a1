package subjects

import "time"

// AuditEvent is a security event as the user whom it is about sees it.
type AuditEvent struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Action    string    `json:"action" doc:"What was done or tried: login, lockout, password_change, …"`
	Outcome   string    `json:"outcome" enum:"success,failure"`
	IP        string    `json:"ip,omitempty"`
	Device    string    `json:"device,omitempty" doc:"What the device called itself."`
	SessionID string    `json:"session_id,omitempty" doc:"The session that it was about."`
}

// ListAuditEventsRequest asks for a page.
type ListAuditEventsRequest struct{ PageRequest }

// ListAuditEvents lists the security events about the caller.
var ListAuditEvents = declare(Endpoint[ListAuditEventsRequest, Page[AuditEvent]]{
	Subject: "weft.v1.auth.list_audit_events", Route: "GET /v1/users/me/audit", Access: User,
	Summary: "My security events",
	Doc: "Lists what was done and tried with the caller's account, the newest first: sign-ins and failed ones, changes of " +
		"password, address and second factor, sessions that ended. The list goes back 90 days unless configured; the stream " +
		"AUDIT keeps everything.",
})
