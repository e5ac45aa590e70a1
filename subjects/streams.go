package subjects

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Retention says when a stream drops a message.
type Retention string

// The retentions.
const (
	// RetainLimits drops messages older than MaxAge.
	RetainLimits Retention = "limits"
	// RetainWork drops a message once its only consumer has acknowledged it.
	RetainWork Retention = "work"
)

// Stream declares a JetStream stream. Only `weft migrate` changes it.
type Stream struct {
	Name     string
	Subjects []string
	// Retention is RetainLimits unless set.
	Retention Retention
	// MaxAge is how long a message is kept; 0 keeps it forever.
	MaxAge time.Duration
	// Duplicates is the window in which a repeated Nats-Msg-Id is dropped. Default: ten minutes. It is at least twice the maximum age of a
	// signature, so that a message cannot be stored again while its signature is accepted. Authors may repeat a message after it.
	Duplicates time.Duration
	// Writers are the users that may publish: each below its own name, or all subjects if there is only one.
	Writers []string
	// Readers are the users that may read it by ephemeral consumers.
	Readers []string
	// Purgers are the users that may purge it.
	Purgers []string
	// AppendOnly denies purging and deleting messages to every user.
	AppendOnly bool
	Doc        string
}

// The streams.
var (
	// Events holds the domain events of all actors.
	Events = declareStream(Stream{
		Name: "EVENTS", Subjects: []string{eventPrefix + ">"}, MaxAge: 7 * 24 * time.Hour,
		Writers: Actors(), Doc: "Domain events of all actors, kept for seven days.",
	})
	// NotificationJobs holds notifications that wait for delivery.
	NotificationJobs = declareStream(Stream{
		Name: "JOBS_NOTIFICATION", Subjects: []string{jobPrefix + "notification.>"}, Retention: RetainWork,
		Writers: []string{"notification"}, Doc: "Deliveries to be processed.",
	})
	// Dead holds jobs and events that could not be processed.
	Dead = declareStream(Stream{
		Name: "DEAD", Subjects: []string{deadPrefix + ">"}, MaxAge: 90 * 24 * time.Hour,
		Writers: Actors(), Doc: "Messages that could not be processed, for an operator to list and replay.",
	})
	// WorkflowLog holds the transitions of live executions that are not yet projected to SQL. It is their source of truth.
	WorkflowLog = declareStream(Stream{
		Name: "WORKFLOW_LOG", Subjects: []string{logPrefix + "*"},
		Writers: []string{"workflow"}, Readers: []string{"workflow"}, Purgers: []string{"workflow"},
		Doc: "One subject per partition, one message for the transitions of many executions. Appending, fenced by the subject's last " +
			"sequence, is the only commit. Truncated up to what SQL holds.",
	})
	// WorkflowFeed holds the histories of watched executions.
	WorkflowFeed = declareStream(Stream{
		Name: "WORKFLOW_FEED", Subjects: []string{"weft.feed.v1.workflow.*"}, MaxAge: 24 * time.Hour,
		Writers: []string{"workflow"}, Readers: []string{"workflow", "gateway"}, Purgers: []string{"workflow"},
		Doc: "One subject per watched execution; the gateway streams it.",
	})
	// Feed holds the changes of each user's notifications, for server-sent events.
	Feed = declareStream(Stream{
		Name: "FEED", Subjects: []string{"weft.feed.v1.notification.*"}, MaxAge: 7 * 24 * time.Hour,
		Writers: []string{"notification"}, Readers: []string{"gateway", "notification"}, Purgers: []string{"notification"},
		Doc: "One subject per user; the gateway streams it.",
	})
	// Ledger holds every change of every consent.
	Ledger = declareStream(Stream{
		Name: "CONSENT_LEDGER", Subjects: []string{"weft.ledger.v1.consent.>"}, AppendOnly: true,
		Writers: []string{"consent"}, Readers: []string{"consent"}, MaxAge: ledgerStreamKept,
		Doc: "The append-only record of consents.",
	})
	// Audit holds security events.
	Audit = declareStream(Stream{
		Name: "AUDIT", Subjects: []string{"weft.audit.v1.>"}, AppendOnly: true,
		Writers: Actors(), Readers: []string{"auth"}, Doc: "Security events; no actor may purge them.",
	})
)

// LedgerKept is for how long the ledger of consents has each entry: seven years, leap days included. The stream has it somewhat longer, so that an entry
// is pruned from the tree, with a signed base, before it ends there.
const (
	LedgerKept       = (7*365 + 2) * 24 * time.Hour
	ledgerStreamKept = LedgerKept + 90*24*time.Hour
)

var streams []Stream

// Streams returns every declared stream.
func Streams() []Stream { return streams }

func declareStream(s Stream) Stream {
	if s.Retention == "" {
		s.Retention = RetainLimits
	}
	if s.Duplicates == 0 {
		s.Duplicates = 10 * time.Minute
	}
	streams = append(streams, s)
	return s
}

// GetSubject is the subject on which the stream's leader answers a get of one message. Unlike a direct get, the answer
// reflects every acknowledged message.
func (s Stream) GetSubject() string { return "$JS.API.STREAM.MSG.GET." + s.Name }

// WorkflowPartitions is the number of partitions that executions are spread over. An execution's id encodes its partition,
// so the number must never change.
const WorkflowPartitions = 8

const (
	logPrefix       = "weft.log.v1.workflow."
	partitionPrefix = "weft.part.v1.workflow."
)

// AnyWorkflowPartition matches the subjects on which partition owners take commands. On WorkflowPeers each workflow process
// announces that it is alive and which partitions it owns.
const (
	AnyWorkflowPartition = partitionPrefix + "*"
	WorkflowPeers        = partitionPrefix + "peers"
)

// WorkflowLogSubject is the subject of one partition's log.
func WorkflowLogSubject(partition int) string { return logPrefix + strconv.Itoa(partition) }

// WorkflowPartitionSubject is the subject on which the owner of a partition takes commands from other workflow processes.
func WorkflowPartitionSubject(partition int) string { return partitionPrefix + strconv.Itoa(partition) }

// WorkflowFeedSubject is the subject of one watched execution's feed.
func WorkflowFeedSubject(executionID string) string { return "weft.feed.v1.workflow." + executionID }

// FeedSubject is the subject of one user's notification feed.
func FeedSubject(userID string) string { return "weft.feed.v1.notification." + userID }

// LedgerSubject is the subject of the ledger's entries about one pseudonymous consent subject.
func LedgerSubject(subjectID string) string { return "weft.ledger.v1.consent." + subjectID }

// AuditSubject is the subject of one actor's security events about a user.
func AuditSubject(actor, userID string) string { return "weft.audit.v1." + actor + "." + userID }

// HeaderEvent names the event that a message of a feed stands for. The gateway uses it as the name of the server-sent event.
const HeaderEvent = "Weft-Event"

// Author returns the only user that may publish on a subject of the stream; empty if the subject is not one of the stream's, or belongs to
// none of its writers.
func (s Stream) Author(subject string) string {
	for _, pattern := range s.Subjects {
		prefix, below := strings.CutSuffix(pattern, ">")
		if !below {
			prefix = strings.TrimSuffix(pattern, "*")
		}
		rest, ok := strings.CutPrefix(subject, prefix)
		if !ok || rest == "" || !below && strings.Contains(rest, ".") {
			continue
		}
		if len(s.Writers) == 1 {
			return s.Writers[0]
		}
		if writer, _, more := strings.Cut(rest, "."); more && slices.Contains(s.Writers, writer) {
			return writer
		}
	}
	return ""
}

// Private reports whether its only writer is also its only reader. Nobody else needs to be able to verify what it holds.
func (s Stream) Private() bool {
	if len(s.Writers) != 1 || s.AppendOnly {
		return false
	}
	for _, c := range consumers {
		if c.Stream == s.Name && c.Owner != s.Writers[0] {
			return false
		}
	}
	return !slices.ContainsFunc(s.Readers, func(reader string) bool { return reader != s.Writers[0] })
}

// EdgeOutboxStream is the stream of an edge node's messages for its hub, and EdgeOutboxSubject its only subject. It exists at edge nodes only.
const (
	EdgeOutboxStream  = "EDGE_OUTBOX"
	EdgeOutboxSubject = "weft.edge.v1.outbox"
)

// EdgeStatus is the subject on which an edge node answers with its status, in its own mesh.
const EdgeStatus = "weft.edge.v1.status"
