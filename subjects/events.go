package subjects

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Event declares a fact that an actor publishes to any number of subscribers. Its subject is weft.event.v1.<actor>.<name>,
// its stream Events, its message an Envelope.
type Event[T any] struct {
	Subject string
	Doc     string
	desc    *EventDescriptor
}

// Envelope is the message of an event: a CloudEvent 1.0 in structured JSON mode.
type Envelope[T any] struct {
	SpecVersion string `json:"specversion"`
	// ID identifies the event. Consumers deduplicate by it.
	ID     string    `json:"id"`
	Source string    `json:"source"`
	Type   string    `json:"type"`
	Time   time.Time `json:"time"`
	// UserID is the user that the event concerns; empty if none.
	UserID string `json:"subject,omitempty"`
	Data   T      `json:"data"`
}

// EventDescriptor is an event or a job without its type parameter.
type EventDescriptor struct {
	Actor, Name string
	Subject     string
	Stream      Stream
	Doc         string
	Schema      *huma.Schema
}

var events []*EventDescriptor

// AllEvents returns every declared event.
func AllEvents() []*EventDescriptor { return events }

// New builds the event's message.
func (e Event[T]) New(id, userID string, at time.Time, data T) Envelope[T] {
	return Envelope[T]{
		SpecVersion: "1.0", ID: id, Source: "weft/" + e.desc.Actor,
		Type: "weft." + e.desc.Actor + "." + e.desc.Name, Time: at.UTC(), UserID: userID, Data: data,
	}
}

func declareEvent[T any](e Event[T]) Event[T] {
	e.desc = describeMessage[T](e.Subject, eventPrefix, Events, e.Doc)
	events = append(events, e.desc)
	return e
}

// Job declares a message that one worker must process. Its subject is weft.job.v1.<actor>.<name>.
type Job[T any] struct {
	Subject string
	Stream  Stream
	Doc     string
	// AckWait is how long a worker may take before the job is redelivered. Default: 30 s.
	AckWait time.Duration
	// MaxDeliver is after how many attempts the job moves to the dead-letter stream. Default: 5.
	MaxDeliver int
	// Backoff is the delay before each further attempt; its last element applies to all that follow.
	Backoff []time.Duration
	desc    *EventDescriptor
}

var jobs []*EventDescriptor

// AllJobs returns every declared job.
func AllJobs() []*EventDescriptor { return jobs }

// Consumer returns the job's only durable consumer.
func (j Job[T]) Consumer() Consumer {
	return consumerOf(j.Stream, j.desc.Name, j.Subject, j.desc.Actor, j.AckWait, j.MaxDeliver, j.Backoff)
}

func declareJob[T any](j Job[T]) Job[T] {
	j.desc = describeMessage[T](j.Subject, jobPrefix, j.Stream, j.Doc)
	jobs = append(jobs, j.desc)
	consumers = append(consumers, j.Consumer())
	return j
}

// Subscription declares that an actor processes an event, by a durable consumer.
type Subscription[T any] struct {
	Event Event[T]
	// Owner is the actor that subscribes.
	Owner string
	// Name and Filter override the durable's name and its subject filter, to receive the same kind of event from several
	// actors. Both derive from Event unless set.
	Name, Filter string
	AckWait      time.Duration
	MaxDeliver   int
	Backoff      []time.Duration
}

// Consumer returns the subscription's durable consumer.
func (s Subscription[T]) Consumer() Consumer {
	d := s.Event.desc
	name, filter := cmp.Or(s.Name, s.Owner+"_"+d.Actor+"_"+d.Name), cmp.Or(s.Filter, d.Subject)
	return consumerOf(Events, name, filter, s.Owner, s.AckWait, s.MaxDeliver, s.Backoff)
}

func subscribe[T any](s Subscription[T]) Subscription[T] {
	consumers = append(consumers, s.Consumer())
	return s
}

// Consumer is a durable consumer of a stream. Only `setup` creates or changes it, and only Owner may consume from it.
type Consumer struct {
	Stream     string
	Durable    string
	Filter     string
	Owner      string
	AckWait    time.Duration
	MaxDeliver int
	// Backoff is the delay before the next try, by try. It is not JetStream's BackOff, which would override AckWait.
	Backoff []time.Duration
}

var consumers []Consumer

// Consumers returns every declared durable consumer.
func Consumers() []Consumer { return consumers }

func consumerOf(
	s Stream, durable, filter, owner string, wait time.Duration, most int, backoff []time.Duration,
) Consumer {
	if wait == 0 {
		wait = 30 * time.Second
	}
	if most == 0 {
		most = 5
	}
	if len(backoff) == 0 {
		backoff = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}
	}
	return Consumer{
		Stream: s.Name, Durable: durable, Filter: filter, Owner: owner, AckWait: wait, MaxDeliver: most, Backoff: backoff,
	}
}

// DeadSubject is the subject in the dead-letter stream for messages that this durable failed to process.
func (c Consumer) DeadSubject() string { return deadPrefix + c.Owner + "." + c.Durable }

// DeadLetter is a message of the dead-letter stream: one that could not be processed.
type DeadLetter struct {
	Stream   string          `json:"stream"`
	Sequence uint64          `json:"sequence"`
	Subject  string          `json:"subject"`
	Durable  string          `json:"durable"`
	Error    string          `json:"error" doc:"Code and detail of the last error."`
	Tries    uint64          `json:"tries"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data"`
}

func describeMessage[T any](subject, prefix string, stream Stream, doc string) *EventDescriptor {
	rest, ok := strings.CutPrefix(subject, prefix)
	actor, name, found := strings.Cut(rest, ".")
	if !ok || !found || doc == "" {
		panic("subjects: " + subject + " does not have the form " + prefix + "<actor>.<name>, or has no Doc")
	}
	return &EventDescriptor{
		Actor: actor, Name: name, Subject: subject, Stream: stream, Doc: doc,
		Schema: schemaOf(reflect.TypeFor[T]()),
	}
}
