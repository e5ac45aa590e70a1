package e2e_test

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestRequestThatNamesAnotherUserActsAsTheCaller sends another user's ID in the body, the query and headers, over HTTP and NATS. An
// endpoint with a field for a user refuses another than the caller.
func TestRequestThatNamesAnotherUserActsAsTheCaller(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	ada, adaID := signUp(t, weft.ready.HTTP)
	bob, bobID := signUp(t, weft.ready.HTTP)
	bob.grant(t, subjects.ScopeIntegrationsExecute)

	for _, header := range []string{"X-User-Id", "X-User", "User-Id", "Weft-User-Id", "Weft-Grant-Id", "X-Forwarded-User"} {
		a := ada.must(t, 200, "GET", "/v1/users/me", nil, header+": "+bobID)
		if got := a.text(".id"); got != adaID {
			t.Errorf("with %s naming Bob, Ada acts as %s", header, got)
		}
	}
	for _, path := range []string{"/v1/users/me?user_id=", "/v1/users/me?id=", "/v1/notifications?user_id=", "/v1/consents?user_id="} {
		a, err := ada.do(t.Context(), "GET", path+bobID, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 400 && (a.status != 200 || regexp.MustCompile(bobID).Match(a.body)) {
			t.Errorf("GET %s: %s", path, a)
		}
		if items := a.text(".items // [] | length"); items != "0" && items != "" {
			t.Errorf("GET %s returned Bob's data: %s", path, a)
		}
	}
	ada.must(t, 403, "POST", "/v1/consents/validate", map[string]any{"user_id": bobID, "scope": subjects.ScopeIntegrationsExecute})
	sent := ada.must(t, 403, "POST", "/v1/notifications", `{"user_id":"`+bobID+`","category":"system","subject":"From Ada"}`)
	if inbox := bob.must(t, 200, "GET", "/v1/notifications", nil); inbox.text(".items | length") != "0" {
		t.Errorf("with the response %s Ada has written to Bob's inbox: %s", sent, inbox)
	}

	// The same over NATS, where the client sets any header.
	operator := connectAs(t, weft, mesh.UserOperator)
	for _, try := range []struct{ body, header string }{
		{`{}`, "Weft-User-Id: " + bobID}, {`{"user_id":"` + bobID + `"}`, ""}, {`{"id":"` + bobID + `"}`, "Weft-User-Id: " + bobID},
	} {
		a, err := natsRequest(operator, subjects.GetUserProfile.Subject, ada.token, []byte(try.body), try.header)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 400 && a.text(".id") != adaID {
			t.Errorf("%+v with Ada's token: %s", try, a)
		}
	}
}

// TestResourcesOfOtherUsersAreNotFound requests another user's resources of every kind.
func TestResourcesOfOtherUsersAreNotFound(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	shop := startStubProvider(t, nil)
	ada, _ := signUp(t, weft.ready.HTTP)
	consent := ada.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	connection := shop.connect(t, ada, "shop")
	workflow := ada.must(t, 201, "POST", "/v1/workflows", oneCall, "Content-Type: application/yaml").text(".id")
	execution := ada.must(t, 200, "POST", "/v1/workflows/"+workflow+"/execute", `{"input":{"n":1}}`).text(".id")
	sent := ada.must(t, 202, "POST", "/v1/notifications", `{"category":"system","subject":"Mine"}`).text(".notification_id")

	bob, _ := signUp(t, weft.ready.HTTP)
	bob.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	for _, try := range []struct{ method, path, body string }{
		{"GET", "/v1/consents/" + consent, ""}, {"POST", "/v1/consents/" + consent + "/revoke", `{}`},
		{"GET", "/v1/integrations/" + connection, ""}, {"DELETE", "/v1/integrations/" + connection, ""},
		{"POST", "/v1/integrations/" + connection + "/actions/get", `{"input":{"path":"/n/1"}}`},
		{"GET", "/v1/workflows/" + workflow, ""}, {"DELETE", "/v1/workflows/" + workflow, ""},
		{"POST", "/v1/workflows/" + workflow + "/execute", `{"input":{"n":1}}`},
		{"POST", "/v1/workflows/" + workflow + "/executions", `{"input":{"n":1}}`},
		{"GET", "/v1/executions/" + execution, ""}, {"GET", "/v1/executions/" + execution + "/history", ""},
		{"GET", "/v1/executions/" + execution + "/events", ""}, {"POST", "/v1/executions/" + execution + "/cancel", `{}`},
		{"GET", "/v1/notifications/" + sent, ""}, {"POST", "/v1/notifications/" + sent + "/read", `{}`},
	} {
		a, err := bob.do(t.Context(), try.method, try.path, []byte(try.body))
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 404 {
			t.Errorf("%s %s as Bob: %s", try.method, try.path, a)
		}
	}
	if got := shop.count("/n/1"); got != 1 {
		t.Errorf("the shop was called %d times, want once by Ada", got)
	}
}

// oneCall is a workflow with one call: GET /n/<n>.
const oneCall = `document: {dsl: 1.0.3, namespace: test, name: one-call, version: 1.0.0}
do:
  - fetch:
      call: http.get
      with: {connection: shop, path: '${ "/n/\(.n)" }'}
      output: {as: .body}
`

// TestMessageWithoutAValidTokenIsRejected calls every endpoint that is not public without a token and with invalid ones, and one
// with a message that looks as if a stream had delivered it.
func TestMessageWithoutAValidTokenIsRejected(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	ada, _ := signUp(t, weft.ready.HTTP)
	operator := connectAs(t, weft, mesh.UserOperator)
	checked := 0
	for _, d := range subjects.Endpoints() {
		if d.Access.Anyone || !slices.Contains(subjects.Actors(), d.Actor) {
			continue
		}
		for name, token := range map[string]string{"no token": "", "no JWT": "nonsense", "a modified token": tampered(ada.token)} {
			a, err := natsRequest(operator, d.Subject, token, []byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			code := a.text(".code")
			if code != string(subjects.CodeUnauthenticated) && (d.Access.SignedIn || code != string(subjects.CodeForbidden)) {
				t.Errorf("%s with %s: %s", d.Name(), name, a)
			}
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("only %d endpoints were checked", checked)
	}
	a, err := natsRequest(operator, subjects.GetUserProfile.Subject, ada.token, nil, "Nats-Stream: EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if a.text(".code") != string(subjects.CodeForbidden) {
		t.Errorf("a message of a stream: %s", a)
	}
	if a, err = natsRequest(operator, subjects.GetUserProfile.Subject, ada.token, nil); err != nil || a.status != 200 {
		t.Errorf("with Ada's token: %s, %v", a, err)
	}
}

// tampered returns a token with one character of its claims changed.
func tampered(token string) string {
	b := []byte(token)
	i := len(b) / 2
	if b[i]++; b[i] > 'y' || b[i] == '[' || b[i] == ':' {
		b[i] = 'a'
	}
	return string(b)
}

// violation matches the error of the server for a publication that the user has no permission for.
var violation = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// forbidden is a subject that no user may publish to.
const forbidden = "forbidden.subject"

// rejectedPublications publishes to subjects as a NATS user and returns those that the server rejects.
func rejectedPublications(t *testing.T, weft *running, user string, targets []string) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	rejected := map[string]bool{}
	conn := connectAs(t, weft, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		if m := violation.FindStringSubmatch(err.Error()); m != nil {
			rejected[m[1]] = true
		}
	}))
	for _, subject := range append(slices.Clone(targets), forbidden) {
		if err := conn.Publish(subject, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	// The server reports violations in order, so that the last one ends the wait.
	err := eventually(func() (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		return rejected[forbidden], "the server has not rejected the last publication"
	})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return rejected
}

// TestServiceCannotBeImpersonated publishes to the subjects of other services: the server's permissions identify a service.
func TestServiceCannotBeImpersonated(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	for _, user := range mesh.Users() {
		var targets []string
		for _, d := range subjects.Endpoints() {
			for _, service := range d.Access.Services {
				if service != user {
					targets = append(targets, d.ServiceSubject(service))
				}
			}
		}
		if len(targets) < 5 {
			t.Fatalf("only %d subjects of services", len(targets))
		}
		rejected := rejectedPublications(t, weft, user, targets)
		for _, subject := range targets {
			if !rejected[subject] {
				t.Errorf("%s may publish %s", user, subject)
			}
		}
	}
}

// TestServiceWithoutTheUsersGrantIsRefused calls an endpoint as a service without a grant, and with one that does not match.
func TestServiceWithoutTheUsersGrantIsRefused(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	shop := startStubProvider(t, nil)
	ada, adaID := signUp(t, weft.ready.HTTP)
	bob, bobID := signUp(t, weft.ready.HTTP)
	consent := ada.grant(t, subjects.ScopeIntegrationsExecute)
	connection := shop.connect(t, ada, "shop")
	bobs := bob.grant(t, subjects.ScopeIntegrationsExecute)
	workflow := connectAs(t, weft, "workflow")
	call := func(user, grant, scope string) answer {
		t.Helper()
		a, err := natsRequest(workflow, subjects.ExecuteAction.Describe().ServiceSubject("workflow"), "",
			[]byte(`{"integration_id":"`+connection+`","action":"get","input":{"path":"/n"}}`),
			"Weft-User-Id: "+user, "Weft-Grant-Id: "+grant, "Weft-Grant-Scope: "+scope)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, a := range map[string]answer{
		"no grant":            call(adaID, "", ""),
		"an unknown grant":    call(adaID, "019ab0de-0000-7000-8000-000000000000", subjects.ScopeIntegrationsExecute),
		"Bob's grant":         call(adaID, bobs, subjects.ScopeIntegrationsExecute),
		"Ada's grant for Bob": call(bobID, consent, subjects.ScopeIntegrationsExecute),
		"no user":             call("", consent, subjects.ScopeIntegrationsExecute),
		"another scope":       call(adaID, consent, subjects.ScopeWorkflowsExecute),
	} {
		if a.status != 403 {
			t.Errorf("with %s: %s", name, a)
		}
	}
	if n := shop.count("/n"); n != 0 {
		t.Errorf("the shop was called %d times", n)
	}
	if a := call(adaID, consent, subjects.ScopeIntegrationsExecute); a.status != 200 || shop.count("/n") != 1 {
		t.Errorf("under Ada's grant: %s", a)
	}
}

// TestUnknownClientCannotConnect connects to NATS without credentials and with wrong ones.
func TestUnknownClientCannotConnect(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	unknown, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := unknown.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]nats.Option{
		"no credentials": nats.Name("nobody"),
		"a password":     nats.UserInfo("operator", "operator"),
		"a token":        nats.Token("operator"),
		"unknown nkey":   nats.Nkey(public, unknown.Sign),
	} {
		conn, err := nats.Connect(weft.ready.NATS, option)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("connecting with %s: %v", name, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
	if _, err := dialNATS(weft.ready.NATS, filepath.Join(weft.ready.Data, "nats", "keys"), mesh.UserOperator); err != nil {
		t.Errorf("connecting as the operator: %v", err)
	}
}

// TestOnlyAuthWritesItsBuckets checks that only auth writes its buckets, only setup creates them, and no user deletes them.
func TestOnlyAuthWritesItsBuckets(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	var writes, creations, deletions []string
	for _, bucket := range []string{"auth_keys", "auth_revoked", "auth_sessions", "auth_attempts"} {
		writes = append(writes, "$KV."+bucket+".somebody")
		creations = append(creations, "$JS.API.STREAM.CREATE.KV_"+bucket, "$JS.API.STREAM.UPDATE.KV_"+bucket)
		deletions = append(deletions, "$JS.API.STREAM.DELETE.KV_"+bucket, "$JS.API.STREAM.PURGE.KV_"+bucket, "$JS.API.STREAM.MSG.DELETE.KV_"+bucket)
	}
	for _, user := range mesh.Users() {
		targets := slices.Clone(deletions)
		if user != mesh.UserMigrate {
			targets = append(targets, creations...)
		}
		if user != "auth" {
			targets = append(targets, writes...)
		}
		rejected := rejectedPublications(t, weft, user, targets)
		for _, subject := range targets {
			if !rejected[subject] {
				t.Errorf("%s may publish %s", user, subject)
			}
		}
	}
}
