package subjects

import "time"

// Retention is what a stream keeps.
type Retention string

// The retentions.
const (
	// RetainLimits keeps messages until MaxAge.
	RetainLimits Retention = "limits"
	// RetainWork keeps a message until its one consumer has acknowledged it.
	RetainWork Retention = "work"
)

// Stream declares a JetStream stream. Only `setup` creates or changes it.
type Stream struct {
	Name     string
	Subjects []string
	// Retention is RetainLimits unless set.
	Retention Retention
	// MaxAge drops older messages; 0 keeps them.
	MaxAge time.Duration
	// Duplicates is the window in which a repeated Nats-Msg-Id is dropped: two minutes unless set. No
	// promise rests on it.
	Duplicates time.Duration
	// Writers are the users that publish, each below its own name (or the whole, where Sole).
	Writers []string
	// Readers are the users that may create ephemeral consumers to read it.
	Readers []string
	// Purgers are the users that may purge it.
	Purgers []string
	// AppendOnly refuses purging and deleting, to everybody.
	AppendOnly bool
	Doc        string
}

// The streams.
var (
	// Events holds what the actors tell whoever listens.
	Events = declareStream(Stream{
		Name: "EVENTS", Subjects: []string{eventPrefix + ">"}, MaxAge: 7 * 24 * time.Hour,
		Writers: Actors(), Doc: "Domain events of all actors, for seven days.",
	})
	// NotificationJobs holds notifications that wait for delivery.
	NotificationJobs = declareStream(Stream{
		Name: "JOBS_NOTIFICATION", Subjects: []string{jobPrefix + "notification.>"}, Retention: RetainWork,
		Writers: []string{"notification"}, Doc: "Deliveries to be worked off.",
	})
	// WorkflowJobs holds executions that wait for a worker.
	WorkflowJobs = declareStream(Stream{
		Name: "JOBS_WORKFLOW", Subjects: []string{jobPrefix + "workflow.>"}, Retention: RetainWork,
		Writers: []string{"workflow"}, Doc: "Executions to be advanced.",
	})
	// Dead holds jobs and events that could not be worked off.
	Dead = declareStream(Stream{
		Name: "DEAD", Subjects: []string{deadPrefix + ">"}, MaxAge: 90 * 24 * time.Hour,
		Writers: Actors(), Doc: "Poison messages, for an operator to list and replay.",
	})
	// WorkflowHistory holds every event of every live execution: the truth about it.
	WorkflowHistory = declareStream(Stream{
		Name: "WORKFLOW_HISTORY", Subjects: []string{"weft.history.v1.workflow.*"},
		Writers: []string{"workflow"}, Readers: []string{"workflow", "gateway"}, Purgers: []string{"workflow"},
		Doc: "One subject an execution; appending, fenced by the subject's last sequence, is the only commit.",
	})
	// Feed holds what happens to each user's notifications, for server-sent events.
	Feed = declareStream(Stream{
		Name: "FEED", Subjects: []string{"weft.feed.v1.notification.*"}, MaxAge: 7 * 24 * time.Hour,
		Writers: []string{"notification"}, Readers: []string{"gateway", "notification"},
		Doc: "One subject a user; the gateway streams it.",
	})
	// Ledger holds every change of every consent.
	Ledger = declareStream(Stream{
		Name: "CONSENT_LEDGER", Subjects: []string{"weft.ledger.v1.consent.>"}, AppendOnly: true,
		Writers: []string{"consent"}, Readers: []string{"consent"},
		Doc: "The append-only record of consents.",
	})
	// Audit holds security events.
	Audit = declareStream(Stream{
		Name: "AUDIT", Subjects: []string{"weft.audit.v1.>"}, AppendOnly: true,
		Writers: Actors(), Readers: []string{"auth"}, Doc: "Security events; no actor may purge it.",
	})
)

var streams []Stream

// Streams lists every stream.
func Streams() []Stream { return streams }

func declareStream(s Stream) Stream {
	if s.Retention == "" {
		s.Retention = RetainLimits
	}
	if s.Duplicates == 0 {
		s.Duplicates = 2 * time.Minute
	}
	streams = append(streams, s)
	return s
}

// GetSubject is where the stream's leader is asked for one message; unlike a direct get, its answer is never behind
// what was acknowledged.
func (s Stream) GetSubject() string { return "$JS.API.STREAM.MSG.GET." + s.Name }

// HistorySubject is the subject of one execution's history.
func HistorySubject(executionID string) string { return "weft.history.v1.workflow." + executionID }

// FeedSubject is the subject of one user's notification feed.
func FeedSubject(userID string) string { return "weft.feed.v1.notification." + userID }

// LedgerSubject is the subject of one user's consent ledger entries.
func LedgerSubject(userID string) string { return "weft.ledger.v1.consent." + userID }

// AuditSubject is the subject of one actor's security events about a user.
func AuditSubject(actor, userID string) string { return "weft.audit.v1." + actor + "." + userID }

// HeaderEvent names the event that a message of a feed or a history stands for; server-sent events carry
// it on.
const HeaderEvent = "Weft-Event"
