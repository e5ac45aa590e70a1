package subjects

import "time"

// AuditEvent is a security event as shown to the user it concerns.
type AuditEvent struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Action    string    `json:"action" doc:"What was done or attempted: login, lockout, password_change, …"`
	Outcome   string    `json:"outcome" enum:"success,failure"`
	IP        string    `json:"ip,omitempty"`
	Device    string    `json:"device,omitempty" doc:"The client's user agent."`
	SessionID string    `json:"session_id,omitempty" doc:"The session concerned."`
}

// ListAuditEventsRequest is the request of ListAuditEvents.
type ListAuditEventsRequest struct{ PageRequest }

// ListAuditEvents lists the caller's security events.
var ListAuditEvents = declare(Endpoint[ListAuditEventsRequest, Page[AuditEvent]]{
	Subject: "weft.v1.auth.list_audit_events", Route: "GET /v1/users/me/audit", Access: User,
	Summary: "My security events",
	Doc: "Lists the security events of the caller's account, newest first: successful and failed sign-ins, changes of password, " +
		"address and second factor, ended sessions. Events are listed for 90 days unless configured otherwise; the stream AUDIT " +
		"keeps all of them.",
})
