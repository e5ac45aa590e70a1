package notification_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// loopback is what the tests' webhooks may reach besides public addresses.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// hooksFixture is a mesh with the notification actor, whose calls may reach this machine.
type hooksFixture struct {
	*fixture
	allow []netip.Prefix
}

func setupHooks(t *testing.T, database actortest.Database, configure func(*notification.Config), options ...actortest.Option) *hooksFixture {
	t.Helper()
	f := &hooksFixture{fixture: &fixture{mesh: actortest.Start(t, options...), config: notification.DefaultConfig()}, allow: loopback}
	f.config.Tick = 10 * time.Millisecond
	if configure != nil {
		configure(&f.config)
	}
	f.conn = f.mesh.Conn(t, "gateway")
	f.db, f.keyset = database.Config(t, "notification"), t.TempDir()+"/keyset"
	f.setContact(func(id string) (subjects.Contact, error) { return subjects.Contact{UserID: id}, nil })
	f.serveContacts(t)
	f.host = f.run(t)
	return f
}

// run starts a process of the actor on the fixture's database and keyset.
func (f *hooksFixture) run(t *testing.T) *actortest.Hosted {
	t.Helper()
	return f.mesh.Host(t, "notification", f.db, notification.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := notification.New(d, f.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile, c.EgressAllow, c.EgressAllowHTTP = f.keyset, f.allow, true
	})
}

// received is a request to a receiver.
type received struct {
	header  http.Header
	body    []byte
	payload subjects.PublicPayload[map[string]any]
	at      time.Time
}

// receiver is an HTTP server that records the deliveries to it.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	got    []received
	status int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: 204}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		one := received{header: request.Header.Clone(), body: body, at: time.Now()}
		_ = json.Unmarshal(body, &one.payload)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, one)
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, http.StatusText(r.status))
	}))
	t.Cleanup(r.Close)
	return r
}

// answer sets the status that the receiver answers with.
func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// all returns the requests until now.
func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// await waits until the receiver has got n requests, and returns them.
func (r *receiver) await(t *testing.T, n int) []received {
	t.Helper()
	actortest.Eventually(t, "the deliveries arrive", func() bool { return len(r.all()) >= n })
	got := r.all()
	if len(got) != n {
		t.Fatalf("%d requests, want %d", len(got), n)
	}
	return got
}

// verify checks the signature of a request with the library of Standard Webhooks.
func (r received) verify(t *testing.T, secret string) error {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.Verify(r.body, r.header)
}

// register registers a webhook and returns it.
func (f *hooksFixture) register(t *testing.T, as mesh.As, r subjects.RegisterWebhookRequest) subjects.Webhook {
	t.Helper()
	return call(t, f.fixture, subjects.RegisterWebhook, as, r)
}

func (f *hooksFixture) webhook(t *testing.T, as mesh.As, id string) subjects.Webhook {
	t.Helper()
	return call(t, f.fixture, subjects.GetWebhook, as, subjects.WebhookRequest{WebhookID: id})
}

func (f *hooksFixture) update(t *testing.T, as mesh.As, r subjects.UpdateWebhookRequest) subjects.Webhook {
	t.Helper()
	return call(t, f.fixture, subjects.UpdateWebhook, as, r)
}

func (f *hooksFixture) deliveries(t *testing.T, as mesh.As, id string) []subjects.WebhookDeliveryRecord {
	t.Helper()
	return call(t, f.fixture, subjects.ListDeliveries, as, subjects.ListDeliveriesRequest{WebhookRequest: subjects.WebhookRequest{WebhookID: id}}).Items
}

// finished publishes the end of executions of a user as the workflow actor does, and returns their ids.
func (f *hooksFixture) finished(t *testing.T, userID string, statuses ...string) []string {
	t.Helper()
	ids := make([]string, len(statuses))
	var ended subjects.ExecutionsEnded
	for i, status := range statuses {
		ids[i] = actortest.User()
		ended.Executions = append(ended.Executions, subjects.ExecutionEnded{
			ExecutionID: ids[i], WorkflowID: "w1", Version: 1, Name: "orders", Status: status, EndedAt: time.Now(),
		})
	}
	f.publish(t, "workflow", subjects.ExecutionsFinished.Subject, subjects.ExecutionsFinished.New(ids[0], userID, time.Now(), ended))
	return ids
}

// connected publishes that a user has connected an account.
func (f *hooksFixture) connected(t *testing.T, userID, label string) string {
	t.Helper()
	id := actortest.User()
	f.publish(t, "integration", subjects.IntegrationConnected.Subject, subjects.IntegrationConnected.New(id, userID, time.Now(), subjects.ConnectionChange{
		IntegrationID: id, Provider: "github", Label: label,
	}))
	return id
}

// notificationConfig is the actor's section of the settings.
type notificationConfig = notification.Config

// matchesSchema checks the data of a payload by a JSON Schema, with a library that is not the one that made it.
func matchesSchema(schema, payload json.RawMessage) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("event.json", document); err != nil {
		return err
	}
	compiled, err := compiler.Compile("event.json")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return err
	}
	body, _ := value.(map[string]any)
	return compiled.Validate(body["data"])
}

// redirecting adds a Location to the answers of a handler.
func redirecting(next http.Handler, location string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location)
		next.ServeHTTP(w, r)
	})
}

// verifyAnyTime is verify for a delivery whose timestamp is not of now.
func verifyAnyTime(t *testing.T, r received, secret string) error {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.VerifyIgnoringTimestamp(r.body, r.header)
}
