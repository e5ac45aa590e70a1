package subjects_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// streamNamed returns a declared stream.
func streamNamed(t *testing.T, name string) subjects.Stream {
	t.Helper()
	i := slices.IndexFunc(subjects.Streams(), func(s subjects.Stream) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no stream %s", name)
	}
	return subjects.Streams()[i]
}

// takes reports whether a stream stores messages on subject.
func takes(s subjects.Stream, subject string) bool {
	return slices.ContainsFunc(s.Subjects, func(pattern string) bool { return matches(pattern, subject) })
}

func TestStreams(t *testing.T) {
	t.Parallel()
	users := append(subjects.Actors(), "gateway")
	seen := map[string]bool{}
	for _, s := range subjects.Streams() {
		if seen[s.Name] || s.Name != strings.ToUpper(s.Name) || strings.ContainsAny(s.Name, ". *>") {
			t.Errorf("%s: the name is invalid or taken", s.Name)
		}
		seen[s.Name] = true
		if s.Doc == "" || len(s.Subjects) == 0 || len(s.Writers) == 0 || s.Duplicates <= 0 {
			t.Errorf("%s is incomplete: %+v", s.Name, s)
		}
		if s.AppendOnly && len(s.Purgers) > 0 {
			t.Errorf("%s is append-only, but %v may purge it", s.Name, s.Purgers)
		}
		for _, user := range slices.Concat(s.Writers, s.Readers, s.Purgers) {
			if !slices.Contains(users, user) {
				t.Errorf("%s: there is no user %s", s.Name, user)
			}
		}
		if len(s.Writers) > 1 && !strings.HasSuffix(s.Subjects[0], ".>") {
			t.Errorf("%s: several writers share %s, which has no token for their names", s.Name, s.Subjects[0])
		}
		for _, other := range subjects.Streams() {
			for _, subject := range other.Subjects {
				if other.Name != s.Name && takes(s, strings.NewReplacer("*", "x", ">", "x.y").Replace(subject)) {
					t.Errorf("%s and %s both store %s", s.Name, other.Name, subject)
				}
			}
		}
	}
}

func TestConsumers(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range subjects.Consumers() {
		id := c.Stream + "." + c.Durable
		if seen[id] || strings.ContainsAny(c.Durable, ". *>") {
			t.Errorf("%s: the name is invalid or taken", id)
		}
		seen[id] = true
		stream := streamNamed(t, c.Stream)
		if !takes(stream, strings.ReplaceAll(c.Filter, "*", "workflow")) {
			t.Errorf("%s: the stream does not store %s", id, c.Filter)
		}
		if !slices.Contains(subjects.Actors(), c.Owner) || c.AckWait <= 0 || c.MaxDeliver < 1 || len(c.Backoff) == 0 {
			t.Errorf("%s is incomplete: %+v", id, c)
		}
		if !slices.IsSorted(c.Backoff) || c.Backoff[0] <= 0 {
			t.Errorf("%s: the backoff %v does not grow", id, c.Backoff)
		}
		if !takes(subjects.Dead, c.DeadSubject()) || !strings.Contains(c.DeadSubject(), "."+c.Owner+".") {
			t.Errorf("%s: its dead letters go to %s", id, c.DeadSubject())
		}
		if stream.Retention == subjects.RetainWork && len(stream.Readers) > 0 {
			t.Errorf("%s: a work queue with further readers", id)
		}
	}
}

func TestEveryJobHasAConsumer(t *testing.T) {
	t.Parallel()
	for _, j := range subjects.AllJobs() {
		n := 0
		for _, c := range subjects.Consumers() {
			if matches(c.Filter, j.Subject) {
				n++
			}
		}
		if n != 1 || j.Stream.Retention != subjects.RetainWork || !takes(j.Stream, j.Subject) {
			t.Errorf("%s has %d consumers in the stream %+v", j.Subject, n, j.Stream)
		}
	}
}

func TestConsumerDefaults(t *testing.T) {
	t.Parallel()
	event := subjects.ConsentChanged
	c := subjects.Subscription[subjects.ConsentChange]{Event: event, Owner: "auth"}.Consumer()
	if c.Durable != "auth_consent_changed" || c.Filter != event.Subject || c.Stream != "EVENTS" || c.AckWait != 30*time.Second || c.MaxDeliver != 5 || len(c.Backoff) != 4 {
		t.Errorf("got %+v", c)
	}
	c = subjects.Subscription[subjects.ConsentChange]{
		Event: event, Owner: "auth", Name: "own", Filter: "weft.event.v1.*.changed", AckWait: time.Minute, MaxDeliver: 2, Backoff: []time.Duration{time.Hour},
	}.Consumer()
	if c.Durable != "own" || c.Filter != "weft.event.v1.*.changed" || c.AckWait != time.Minute || c.MaxDeliver != 2 || !slices.Equal(c.Backoff, []time.Duration{time.Hour}) {
		t.Errorf("got %+v", c)
	}
	if job := subjects.Deliver.Consumer(); job.Durable != "deliver" || job.Owner != "notification" || job.Stream != "JOBS_NOTIFICATION" {
		t.Errorf("got %+v", job)
	}
}

func TestMessageSubjectsAreStored(t *testing.T) {
	t.Parallel()
	for subject, stream := range map[string]subjects.Stream{
		subjects.WorkflowLogSubject(0):                               subjects.WorkflowLog,
		subjects.WorkflowLogSubject(subjects.WorkflowPartitions - 1): subjects.WorkflowLog,
		subjects.WorkflowFeedSubject(someID):                         subjects.WorkflowFeed,
		subjects.FeedSubject(someID):                                 subjects.Feed,
		subjects.LedgerSubject("s"):                                  subjects.Ledger,
		subjects.AuditSubject("auth", someID):                        subjects.Audit,
	} {
		if !takes(stream, subject) {
			t.Errorf("%s does not store %s", stream.Name, subject)
		}
	}
	for _, subject := range []string{subjects.WorkflowPartitionSubject(7), subjects.WorkflowPeers} {
		if !matches(subjects.AnyWorkflowPartition, subject) {
			t.Errorf("%s does not match %s", subjects.AnyWorkflowPartition, subject)
		}
	}
	if got := subjects.Events.GetSubject(); got != "$JS.API.STREAM.MSG.GET.EVENTS" {
		t.Errorf("a message is read by %s", got)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range subjects.AllEvents() {
		if seen[e.Subject] || e.Doc == "" || e.Schema == nil || !takes(subjects.Events, e.Subject) || !slices.Contains(subjects.Actors(), e.Actor) {
			t.Errorf("%s is incomplete or declared twice: %+v", e.Subject, e)
		}
		seen[e.Subject] = true
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	change := subjects.ConsentChange{ConsentEntry: subjects.ConsentEntry{ConsentID: "c1", Change: "granted", At: at}, Scope: "workflows.read"}
	message, err := json.Marshal(subjects.ConsentChanged.New("e1", "u1", at, change))
	const want = `{"specversion":"1.0","id":"e1","source":"weft/consent","type":"weft.consent.changed","time":"2030-01-02T02:04:05Z",` +
		`"subject":"u1","data":{"id":"","consent_id":"c1","change":"granted","at":"2030-01-02T03:04:05+01:00","scope":"workflows.read"}}`
	if err != nil || string(message) != want {
		t.Errorf("got  %s\nwant %s, %v", message, want, err)
	}
	webhook := subjects.NewWebhookReceived("e2", "u1", at, subjects.WebhookDelivery{Provider: "github", Event: "push", IntegrationID: "i1"})
	if webhook.Type != "github.push" || webhook.Source != "/integrations/i1" || webhook.ID != "e2" || webhook.UserID != "u1" {
		t.Errorf("got %+v", webhook)
	}
	anonymous, err := json.Marshal(subjects.UserRegisteredEvent.New("e3", "", at, subjects.UserRegistered{}))
	if err != nil || strings.Contains(string(anonymous), `"subject"`) {
		t.Errorf("an event without a user has a subject: %s, %v", anonymous, err)
	}
}

// TestErasureIsConfirmedByEveryActor checks that each actor but auth hears AccountDeleted, and that auth hears each confirmation.
func TestErasureIsConfirmedByEveryActor(t *testing.T) {
	t.Parallel()
	confirmations := map[string]string{
		"integration": subjects.IntegrationErased.Subject, "workflow": subjects.WorkflowErased.Subject,
		"consent": subjects.ConsentErased.Subject, "notification": subjects.NotificationErased.Subject,
	}
	if want := slices.Sorted(slices.Values(subjects.ErasingActors())); len(want) != len(subjects.Actors())-1 || slices.Contains(want, "auth") {
		t.Errorf("the erasing actors are %v", want)
	}
	for _, actor := range subjects.ErasingActors() {
		if !slices.ContainsFunc(subjects.Consumers(), func(c subjects.Consumer) bool {
			return c.Owner == actor && matches(c.Filter, subjects.AccountDeleted.Subject)
		}) {
			t.Errorf("%s does not receive %s", actor, subjects.AccountDeleted.Subject)
		}
		if !slices.ContainsFunc(subjects.Consumers(), func(c subjects.Consumer) bool {
			return c.Owner == "auth" && matches(c.Filter, confirmations[actor])
		}) {
			t.Errorf("auth does not receive the confirmation of %s", actor)
		}
	}
}
