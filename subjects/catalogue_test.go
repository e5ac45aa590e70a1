package subjects_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

func TestEndpointsAreCallable(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		if !d.Access.Anyone && !d.Access.SignedIn && len(d.Access.Services) == 0 && len(d.Access.Enrolled) == 0 {
			t.Errorf("%s: nobody may call it", d.Subject)
		}
		if d.Path != "" && !d.Access.Anyone && !d.Access.SignedIn {
			t.Errorf("%s: it has a route, but no user may call it", d.Subject)
		}
		for _, service := range d.Access.Services {
			if service == d.Actor {
				t.Errorf("%s: the actor calls itself", d.Subject)
			}
			if service != "gateway" && !slices.Contains(subjects.Actors(), service) {
				t.Errorf("%s: there is no service %s", d.Subject, service)
			}
		}
		for _, service := range d.Access.Grantless {
			if !d.Access.AllowsService(service) {
				t.Errorf("%s: %s needs no grant, but may not call", d.Subject, service)
			}
		}
		for _, kind := range d.Access.Enrolled {
			if !slices.Contains(subjects.EnrolledKinds(), kind) {
				t.Errorf("%s: there are no users of the kind %s", d.Subject, kind)
			}
		}
		if !slices.Contains(subjects.Actors(), d.Actor) {
			t.Errorf("%s: there is no actor %s", d.Subject, d.Actor)
		}
	}
}

func TestEndpointsAreDocumented(t *testing.T) {
	t.Parallel()
	method, sentence := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`), regexp.MustCompile(`^[A-Z].*\.$`)
	for _, d := range subjects.Endpoints() {
		if !method.MatchString(d.Method) {
			t.Errorf("%s: the method is not in snake case", d.Subject)
		}
		if !sentence.MatchString(d.Doc) {
			t.Errorf("%s: Doc is not made of sentences: %s", d.Subject, d.Doc)
		}
		if d.Summary == "" || len(d.Summary) > 60 || strings.HasSuffix(d.Summary, ".") {
			t.Errorf("%s: Summary is not a short title: %q", d.Subject, d.Summary)
		}
	}
}

func TestEndpointDefaults(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		if d.Timeout <= 0 || d.Timeout > subjects.MaxTimeout || d.Concurrency <= 0 {
			t.Errorf("%s: timeout %s, concurrency %d", d.Subject, d.Timeout, d.Concurrency)
		}
		if d.Mutating && d.HTTPMethod == http.MethodGet {
			t.Errorf("%s: GET is marked as mutating", d.Subject)
		}
		if d.ResponseType.Name() == "Empty" && d.Status != http.StatusNoContent && d.Status != http.StatusAccepted {
			t.Errorf("%s: status %d with an empty reply", d.Subject, d.Status)
		}
		for _, l := range d.Limits {
			if l.Requests <= 0 || l.Period <= 0 || l.By != "ip" && l.By != "user" {
				t.Errorf("%s: limit %+v", d.Subject, l)
			}
			if l.By == "user" && !d.Access.SignedIn {
				t.Errorf("%s: it limits users, but none may call", d.Subject)
			}
		}
	}
	if d := subjects.GetContact.Describe(); d.Timeout != subjects.DefaultTimeout || d.Concurrency != subjects.DefaultConcurrency || d.Status != 200 {
		t.Errorf("defaults are not applied: %+v", d)
	}
	if d := subjects.Login.Describe(); d.Mutating || d.Name() != "auth.login" || d.HTTPMethod != http.MethodPost || d.Path != "/v1/auth/login" {
		t.Errorf("Login is described as %+v", d)
	}
}

// TestEndpointFieldsExist checks the names that a declaration refers to in its request and reply.
func TestEndpointFieldsExist(t *testing.T) {
	t.Parallel()
	placeholder := regexp.MustCompile(`\{([a-z0-9_]+)\}`)
	for _, d := range subjects.Endpoints() {
		request, reply := properties(t, d.RequestSchema), properties(t, d.ResponseSchema)
		for _, f := range d.Fields {
			if f.Schema == nil || !slices.Contains(request, f.Name) {
				t.Errorf("%s: field %s has no schema", d.Subject, f.Name)
			}
			if f.In == "path" && !f.Required {
				t.Errorf("%s: path field %s is optional", d.Subject, f.Name)
			}
			if (f.In == "header" || f.In == "cookie") == (f.Header == "") {
				t.Errorf("%s: field %s is in %s, under the name %q", d.Subject, f.Name, f.In, f.Header)
			}
		}
		for _, name := range d.Secret {
			if !slices.Contains(reply, name) {
				t.Errorf("%s: the secret %s is not in the reply", d.Subject, name)
			}
		}
		for _, match := range placeholder.FindAllStringSubmatch(d.Location, -1) {
			if !slices.Contains(reply, match[1]) && !strings.Contains(d.Path, match[0]) {
				t.Errorf("%s: %s of Location is neither in the reply nor in the path", d.Subject, match[0])
			}
		}
		if f := d.Body.Field; f != "" && !slices.Contains(request, f) {
			t.Errorf("%s: the body's field %s is not in the request", d.Subject, f)
		}
	}
}

// properties returns the names of a schema document's properties.
func properties(t *testing.T, document func() ([]byte, error)) []string {
	t.Helper()
	text, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range schema.Properties {
		names = append(names, name)
	}
	return names
}

func TestCallerOf(t *testing.T) {
	t.Parallel()
	d := subjects.ExecuteAction.Describe()
	for subject, want := range map[string][2]string{
		d.Subject:                              {"", ""},
		d.ServiceSubject("workflow"):           {"", "workflow"},
		d.EnrolledSubject("edge", "box7"):      {"edge", "box7"},
		d.EnrolledSubject("extension", "acme"): {"extension", "acme"},
		d.Subject + "x.as.workflow":            {"", ""},
		"weft.v1.auth.login.as.nobody":         {"", ""},
	} {
		kind, name := d.CallerOf(subject)
		if kind != want[0] || name != want[1] {
			t.Errorf("%s: got %q %q, want %v", subject, kind, name, want)
		}
	}
}

// TestActorsReceiveTheirCalls checks that every subject of an endpoint matches exactly one subscription of its actor, and none
// of another actor.
func TestActorsReceiveTheirCalls(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		for _, subject := range []string{d.Subject, d.ServiceSubject("workflow"), d.EnrolledSubject("edge", "box7"), d.EnrolledSubject("extension", "acme")} {
			for _, actor := range subjects.Actors() {
				matching := 0
				for _, pattern := range subjects.EndpointsOf(actor) {
					if matches(pattern, subject) {
						matching++
					}
				}
				if want := map[bool]int{true: 1}[actor == d.Actor]; matching != want {
					t.Errorf("%s matches %d subscriptions of %s, want %d", subject, matching, actor, want)
				}
			}
		}
		if !matches(subjects.AnyEndpoint, d.Subject) || matches(subjects.AnyEndpoint, d.ServiceSubject("workflow")) {
			t.Errorf("%s: AnyEndpoint must match the plain subject only", d.Subject)
		}
		if !matches(d.ServicePattern(), d.ServiceSubject("workflow")) || matches(d.ServicePattern(), d.EnrolledSubject("edge", "box7")) {
			t.Errorf("%s: ServicePattern must match service subjects only", d.Subject)
		}
	}
}

// matches reports whether subject matches pattern by the rules of NATS.
func matches(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		if token == ">" {
			return len(have) > i
		}
		if i >= len(have) || token != "*" && token != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

func TestPageLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{0: 50, 1: 1, 200: 200} {
		if got := (subjects.PageRequest{Limit: limit}).PageLimit(); got != want {
			t.Errorf("limit %d: got %d, want %d", limit, got, want)
		}
	}
}
