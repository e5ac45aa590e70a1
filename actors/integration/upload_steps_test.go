package integration_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// fakeSlack is a server that accepts a file in three requests, as Slack does.
type fakeSlack struct {
	*httptest.Server
	mu sync.Mutex
	// log are the requests with their statuses.
	log []string
	// sizes are the announced sizes and files the uploaded contents by id; shared are the completed files.
	sizes, files map[string]string
	shared       []string
	// fails are the error statuses of the next requests, by request.
	fails map[string][]int
	// uploadURL replaces the server's own upload URL if it is not empty.
	uploadURL string
	// after is called after each response.
	after func(request string)
	// tokenLeaked is set if an upload contained the token.
	tokenLeaked bool
}

func newFakeSlack(t testing.TB) *fakeSlack {
	t.Helper()
	s := &fakeSlack{sizes: map[string]string{}, files: map[string]string{}, fails: map[string][]int{}, after: func(string) {}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		request := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api"), "/")
		request, id, _ := strings.Cut(request, "/")
		s.mu.Lock()
		defer func() {
			after := s.after
			s.mu.Unlock()
			after(request)
		}()
		if failing := s.fails[request]; len(failing) > 0 {
			s.fails[request] = failing[1:]
			s.log = append(s.log, fmt.Sprintf("%s %d", request, failing[0]))
			w.WriteHeader(failing[0])
			return
		}
		if request != "auth.test" {
			s.log = append(s.log, request+" 200")
		}
		s.answer(w, r, request, id, string(body))
	}))
	t.Cleanup(s.Close)
	return s
}

// answer handles a request. s.mu must be held.
func (s *fakeSlack) answer(w http.ResponseWriter, r *http.Request, request, id, body string) {
	authorized := r.Header.Get("Authorization") == "Bearer xoxb-1234567890"
	r.Body = io.NopCloser(strings.NewReader(body))
	say := func(answer map[string]any) {
		answer["ok"] = answer["error"] == nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
	switch {
	case request == "upload":
		s.tokenLeaked = s.tokenLeaked || strings.Contains(fmt.Sprint(r.Header, r.URL), "xoxb")
		s.files[id] = body
		_, _ = fmt.Fprintf(w, "OK - %d", len(body))
	case !authorized:
		say(map[string]any{"error": "not_authed"})
	case request == "files.getUploadURLExternal":
		id = fmt.Sprintf("F%d", len(s.sizes)+1)
		s.sizes[id] = r.PostFormValue("length")
		to := s.URL + "/upload/" + id
		if s.uploadURL != "" {
			to = s.uploadURL
		}
		say(map[string]any{"upload_url": to, "file_id": id})
	case request == "files.completeUploadExternal":
		var files []map[string]string
		_ = json.Unmarshal([]byte(r.PostFormValue("files")), &files)
		id = files[0]["id"]
		if fmt.Sprint(len(s.files[id])) != s.sizes[id] {
			say(map[string]any{"error": "file_not_found"})
			return
		}
		s.shared = append(s.shared, id+" "+files[0]["title"]+" in "+r.PostFormValue("channel_id"))
		say(map[string]any{"files": files})
	default:
		say(map[string]any{"user_id": "U1", "user": "grace"})
	}
}

func (s *fakeSlack) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, ", ")
}

// withFakeSlack replaces Slack by a fake.
func withFakeSlack(s *fakeSlack) option {
	return withConfig(func(c *integration.Config) {
		c.Providers["slack"] = integration.ProviderConfig{BaseURL: s.URL + "/api", Backoff: time.Millisecond}
	})
}

const wholeUpload = "files.getUploadURLExternal 200, upload 200, files.completeUploadExternal 200"

// TestUploadInSteps tests an action of three requests: the content of an object or a text is sent to the URL that Slack
// returns, without the token.
func TestUploadInSteps(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newFakeSlack(t)
		b := setup(t, database, withFakeSlack(s))
		_, ada := b.user(t)
		c := b.connectSlack(t, ada, "")
		data := content(3<<20 + 1)
		o := b.upload(t, ada, data, subjects.CreateObjectRequest{Name: "ship.png", ContentType: "image/png"})
		result := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "upload_file", `{"object":"`+o.ID+`","channel_id":"C1"}`))
		if string(result.Output) != `{"id":"F1","title":"ship.png"}` || result.Attempts != 1 || s.files["F1"] != string(data) {
			t.Errorf("%s after %d attempts, %d bytes were received", result.Output, result.Attempts, len(s.files["F1"]))
		}
		result = call(t, b, subjects.ExecuteAction, ada, action(c.ID, "upload_file", `{"content":"häh","title":"Hm"}`))
		if string(result.Output) != `{"id":"F2","title":"Hm"}` || s.files["F2"] != "häh" {
			t.Errorf("%s, %q was received", result.Output, s.files["F2"])
		}
		if s.tokenLeaked || s.requests() != wholeUpload+", "+wholeUpload || strings.Join(s.shared, "; ") != "F1 ship.png in C1; F2 Hm in " {
			t.Errorf("token leaked: %v; requests %s; shared %v", s.tokenLeaked, s.requests(), s.shared)
		}
		if calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}}); len(calls.Items) != 2 {
			t.Errorf("%d calls are logged", len(calls.Items))
		}
		for _, wrong := range []string{`{}`, `{"object":"` + o.ID + `","content":"x"}`, `{"content":"x","thread_ts":"1.2"}`} {
			wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action(c.ID, "upload_file", wrong))
		}
	})
}

// TestFailingStep tests that a failed step is retried, that the next one waits for its success, and that the last request,
// which is not idempotent, is made once.
func TestFailingStep(t *testing.T) {
	t.Parallel()
	s := newFakeSlack(t)
	b := setup(t, actortest.Databases(t)[0], withFakeSlack(s))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	upload := action(c.ID, "upload_file", `{"content":"hello"}`)
	for _, step := range []struct {
		fails    map[string][]int
		attempts int
		code     subjects.Code
		requests string
	}{
		{map[string][]int{"files.getUploadURLExternal": {500}, "upload": {503, 500}}, 4, "",
			"files.getUploadURLExternal 500, files.getUploadURLExternal 200, upload 503, upload 500, upload 200, files.completeUploadExternal 200"},
		{map[string][]int{"upload": {400}}, 0, subjects.CodeInvalid, "files.getUploadURLExternal 200, upload 400"},
		{map[string][]int{"files.completeUploadExternal": {500}}, 0, subjects.CodeProvider,
			"files.getUploadURLExternal 200, upload 200, files.completeUploadExternal 500"},
	} {
		s.mu.Lock()
		s.log, s.fails = nil, step.fails
		s.mu.Unlock()
		result, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, upload, ada)
		if subjects.CodeOf(err) != step.code || result.Attempts != step.attempts || s.requests() != step.requests {
			t.Errorf("%v after %d attempts; requests %s, want %s", err, result.Attempts, s.requests(), step.requests)
		}
	}
}

// TestUploadURLOfAnotherHost tests that a URL from a provider's response is refused if it is not of the provider's hosts.
func TestUploadURLOfAnotherHost(t *testing.T) {
	t.Parallel()
	s, other := newFakeSlack(t), newFakeSlack(t)
	b := setup(t, actortest.Databases(t)[0], withFakeSlack(s))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	for _, to := range []string{other.URL + "/upload/F1", "http://169.254.169.254/latest", "file:///etc/passwd", "/upload/F1"} {
		s.uploadURL = to
		e := wantCode(t, b, subjects.CodeConflict, subjects.ExecuteAction, ada, action(c.ID, "upload_file", `{"content":"hello"}`))
		if strings.Contains(e.Error(), to) {
			t.Errorf("the error contains the URL: %v", e)
		}
	}
	if other.requests() != "" || len(s.shared) > 0 {
		t.Errorf("another host received %s; shared %v", other.requests(), s.shared)
	}
}

// TestRevocationBetweenSteps revokes the consent, or deletes the connection, between two steps; the next must not be made.
func TestRevocationBetweenSteps(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newFakeSlack(t)
		b := setup(t, database, withFakeSlack(s))
		for want, revoke := range map[subjects.Code]func(user string, as mesh.As, c subjects.Connection){
			subjects.CodeConsentRequired: func(user string, _ mesh.As, _ subjects.Connection) {
				b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
			},
			subjects.CodeNotFound: func(_ string, as mesh.As, c subjects.Connection) {
				call(t, b, subjects.DisconnectIntegration, as, subjects.IntegrationRequest{IntegrationID: c.ID})
			},
		} {
			user, ada := b.user(t)
			c := b.connectSlack(t, ada, "")
			s.mu.Lock()
			s.log = nil
			s.after = func(request string) {
				if request == "upload" {
					revoke(user, ada, c)
				}
			}
			s.mu.Unlock()
			wantCode(t, b, want, subjects.ExecuteAction, ada, action(c.ID, "upload_file", `{"content":"hello"}`))
			if got := s.requests(); got != "files.getUploadURLExternal 200, upload 200" {
				t.Errorf("%s: requests %s", want, got)
			}
		}
	})
}
