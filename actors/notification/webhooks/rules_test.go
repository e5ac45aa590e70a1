package webhooks

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestMatchesType: a webhook takes the types it names, those below a prefix, and all without names.
func TestMatchesType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names string
		taken string
		want  bool
	}{
		{"", "workflow.execution.completed", true},
		{"workflow.execution.completed", "workflow.execution.completed", true},
		{"workflow.execution.faulted", "workflow.execution.completed", false},
		{"workflow.*", "workflow.execution.completed", true},
		{"workflow.*", "workflow.run.refused", true},
		{"workflow.execution.*", "workflow.run.refused", false},
		{"work.*", "workflow.run.refused", false},
		{"workflow.*", "workflow", false},
		{"consent.* auth.user.updated", "auth.user.updated", true},
	} {
		if got := matchesType(strings.Fields(c.names), c.taken); got != c.want {
			t.Errorf("%q takes %s: got %v", c.names, c.taken, got)
		}
	}
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var coded *subjects.Error
	if !errors.As(err, &coded) || coded.Code != subjects.CodeInvalid || len(coded.Fields) != 1 || coded.Fields[0].Field != field {
		t.Errorf("got %v, want the field %s", err, field)
	}
}

func TestCheckWebhookEvents(t *testing.T) {
	t.Parallel()
	got, err := checkWebhookEvents([]string{"workflow.*", "auth.user.updated", "workflow.*"})
	if err != nil || !slices.Equal(got, []string{"auth.user.updated", "workflow.*"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, name := range []string{"workflow", "workflow.", "*", ".*", "workflow*", "workflow.execution.complete", "Workflow.*", "workflow.execution.completed.*", ""} {
		_, err := checkWebhookEvents([]string{"consent.*", name})
		wantField(t, err, "events[1]")
	}
}

func TestCheckWebhookURL(t *testing.T) {
	t.Parallel()
	if got, err := checkWebhookURL("https://example.com:8443/a%20b?x=1#part"); err != nil || got != "https://example.com:8443/a%20b?x=1" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, address := range []string{"", "example.com/x", "/x", "https://", "mailto:a@b", "https://ada@example.com/", "https://ada:pw@example.com/", "https://a b/"} {
		_, err := checkWebhookURL(address)
		wantField(t, err, "url")
	}
}

func TestCheckWebhookHeaders(t *testing.T) {
	t.Parallel()
	got, err := checkWebhookHeaders(map[string]subjects.SecretText{"authorization": "Bearer x", "X-Tenant": "7"})
	if err != nil || got["Authorization"] != "Bearer x" || got["X-Tenant"] != "7" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, name := range []string{"host", "Connection", "content-length", "Transfer-Encoding", "webhook-id", "Webhook-Signature", "svix-id", "TE", "Upgrade", "user-agent"} {
		_, err := checkWebhookHeaders(map[string]subjects.SecretText{name: "x"})
		wantField(t, err, "headers."+name)
	}
	for _, headers := range []map[string]subjects.SecretText{
		{"a b": "x"}, {"": "x"}, {strings.Repeat("n", 65): "x"}, {"X-é": "x"},
	} {
		_, err := checkWebhookHeaders(headers)
		wantField(t, err, "headers")
	}
	for _, value := range []subjects.SecretText{"a\r\nX-Other: b", "a\x00", subjects.SecretText(strings.Repeat("v", 1025))} {
		_, err := checkWebhookHeaders(map[string]subjects.SecretText{"X-A": value})
		wantField(t, err, "headers.X-A")
	}
	many := map[string]subjects.SecretText{}
	for _, c := range "abcdefghijk" {
		many["X-"+string(c)] = "x"
	}
	_, err = checkWebhookHeaders(many)
	wantField(t, err, "headers")
	_, err = checkWebhookHeaders(map[string]subjects.SecretText{"X-A": "1", "x-a": "2"})
	if err == nil {
		t.Error("a header that occurs twice is accepted")
	}
}

// TestConditions: a condition is checked over the examples of the types that the webhook takes, and is bounded.
func TestConditions(t *testing.T) {
	t.Parallel()
	c := newConditions()
	for text, types := range map[string]string{
		"": "", `.data.status == "faulted"`: "workflow.*", `.type | startswith("consent.")`: "", `.data.fields | contains(["email"])`: "auth.user.updated",
		`now > 0`: "",
	} {
		if err := c.check(t.Context(), "ada", text, strings.Fields(types)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{".data.status ==", "1", `"true"`, "empty", ".data | error", "env.HOME == null", "true, false", "[range(1e9)] | length > 3", "def f: f; f"} {
		wantField(t, c.check(t.Context(), "ada", text, nil), "condition")
	}
	for text, want := range map[string]bool{`.data.n > 1`: true, `.data.n > 2`: false, `.version == 1`: true} {
		if got, err := c.holds(t.Context(), "ada", text, []byte(`{"version":1,"data":{"n":2}}`), exampleAt); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	if _, err := c.holds(t.Context(), "ada", ".data.n | length > (1 | error(\"x\"))", []byte(`{"data":{"n":2}}`), exampleAt); err == nil || subjects.CodeOf(err) == subjects.CodeUnavailable {
		t.Errorf("a condition that fails: %v", err)
	}
}

// TestExamplesMatchTheirSchemas is about the order of the fields of the payload too: type, timestamp and version precede the data.
func TestExamplePayloads(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range subjects.PublicEvents() {
		payload, err := examplePayload(d, exampleAt)
		want := `{"type":"` + d.Type + `","timestamp":"2026-11-30T09:15:00.000000Z","version":1,"data":` + string(d.Example) + `}`
		if err != nil || string(payload) != want {
			t.Errorf("got %s, %v\nwant %s", payload, err, want)
		}
		if seen[d.Type] {
			t.Errorf("%s is declared twice", d.Type)
		}
		seen[d.Type] = true
		if d.OrderingKey != "" && !strings.Contains(string(d.Example), `"`+d.OrderingKey+`":`) {
			t.Errorf("%s: the example has no %s", d.Type, d.OrderingKey)
		}
	}
}
