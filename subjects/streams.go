package subjects

import (
	"strconv"
	"time"
)

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
	// Dead holds jobs and events that could not be worked off.
	Dead = declareStream(Stream{
		Name: "DEAD", Subjects: []string{deadPrefix + ">"}, MaxAge: 90 * 24 * time.Hour,
		Writers: Actors(), Doc: "Poison messages, for an operator to list and replay.",
	})
	// WorkflowLog holds what live executions have done since it was last written to SQL: the truth about them.
	WorkflowLog = declareStream(Stream{
		Name: "WORKFLOW_LOG", Subjects: []string{logPrefix + "*"},
		Writers: []string{"workflow"}, Readers: []string{"workflow"}, Purgers: []string{"workflow"},
		Doc: "One subject a partition, one message for the turns of many executions; appending, fenced by the subject's last " +
			"sequence, is the only commit. Cut behind what SQL holds.",
	})
	// WorkflowFeed holds the histories of executions that somebody watches.
	WorkflowFeed = declareStream(Stream{
		Name: "WORKFLOW_FEED", Subjects: []string{"weft.feed.v1.workflow.*"}, MaxAge: 24 * time.Hour,
		Writers: []string{"workflow"}, Readers: []string{"workflow", "gateway"}, Purgers: []string{"workflow"},
		Doc: "One subject a watched execution; the gateway streams it.",
	})
	// Feed holds what happens to each user's notifications, for server-sent events.
	Feed = declareStream(Stream{
		Name: "FEED", Subjects: []string{"weft.feed.v1.notification.*"}, MaxAge: 7 * 24 * time.Hour,
		Writers: []string{"notification"}, Readers: []string{"gateway", "notification"}, Purgers: []string{"notification"},
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

// WorkflowPartitions is how many partitions executions are spread over. It is part of what an execution's id means to
// the workflow actor, and so for good.
const WorkflowPartitions = 8

const (
	logPrefix       = "weft.log.v1.workflow."
	partitionPrefix = "weft.part.v1.workflow."
)

// AnyWorkflowPartition matches where the owners of all partitions take commands, and WorkflowPeers, where each workflow
// process tells the others that it lives and what it owns.
const (
	AnyWorkflowPartition = partitionPrefix + "*"
	WorkflowPeers        = partitionPrefix + "peers"
)

// WorkflowLogSubject is the log of one partition.
func WorkflowLogSubject(partition int) string { return logPrefix + strconv.Itoa(partition) }

// WorkflowPartitionSubject is where the owner of a partition takes commands of other workflow processes.
func WorkflowPartitionSubject(partition int) string { return partitionPrefix + strconv.Itoa(partition) }

// WorkflowFeedSubject is the feed of one watched execution.
func WorkflowFeedSubject(executionID string) string { return "weft.feed.v1.workflow." + executionID }

// FeedSubject is the subject of one user's notification feed.
func FeedSubject(userID string) string { return "weft.feed.v1.notification." + userID }

// LedgerSubject is the subject of the consent ledger's entries about one of its own subjects.
func LedgerSubject(subjectID string) string { return "weft.ledger.v1.consent." + subjectID }

// AuditSubject is the subject of one actor's security events about a user.
func AuditSubject(actor, userID string) string { return "weft.audit.v1." + actor + "." + userID }

// HeaderEvent names the event that a message of a feed or a history stands for; server-sent events carry
// it on.
const HeaderEvent = "Weft-Event"
