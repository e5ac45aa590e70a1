package subjects_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

const someID = "01a22326-8f31-72ab-bf67-3c8d98feabd1"

// libraryText matches how errors of the libraries in use begin.
var libraryText = regexp.MustCompile(`\b(jsontext|json|mail|strconv|base64|uuid|url|time|parse): |invalid UUID|cannot unmarshal`)

// invalidField fails the test unless err is a CodeInvalid error whose first field is want.
func invalidField(t *testing.T, err error, want string) {
	t.Helper()
	var e *subjects.Error
	if !errors.As(err, &e) || e.Code != subjects.CodeInvalid || len(e.Fields) == 0 {
		t.Fatalf("got %v, want a CodeInvalid error with fields", err)
	}
	if e.Fields[0].Field != want {
		t.Errorf("got field %q, want %q: %v", e.Fields[0].Field, want, err)
	}
	problem, encodeErr := subjects.Encode(subjects.ProblemOf(err, "", ""))
	if encodeErr != nil || libraryText.Match(problem) {
		t.Errorf("the problem has a library's text: %s, %v", problem, encodeErr)
	}
	if want != "" && !strings.HasPrefix(e.Detail, want) {
		t.Errorf("detail %q does not begin with the field %q", e.Detail, want)
	}
}

func TestDecodeRejects(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ message, field string }{
		"missing field":            {`{"password":"x"}`, "email"},
		"empty message":            {``, "email"},
		"white space":              {" \n", "email"},
		"unknown field":            {`{"email":"a@b.c","password":"x","admin":true}`, "admin"},
		"key in other case":        {`{"EMAIL":"a@b.c","password":"x"}`, "email"},
		"keys in both cases":       {`{"email":"a@b.c","EMAIL":"d@e.f","password":"x"}`, "EMAIL"},
		"duplicate key":            {`{"email":"a@b.c","email":"d@e.f","password":"x"}`, "email"},
		"wrong type":               {`{"email":"a@b.c","password":7}`, "password"},
		"string too long":          {`{"email":"a@b.c","password":"` + strings.Repeat("x", 1025) + `"}`, "password"},
		"string too short":         {`{"email":"a@b.c","password":""}`, "password"},
		"invalid e-mail address":   {`{"email":"nobody","password":"x"}`, "email"},
		"list instead of object":   {`["email"]`, ""},
		"string instead of object": {`"email"`, ""},
		"null instead of object":   {`null`, ""},
		"truncated JSON":           {`{"email":`, ""},
		"second JSON value":        {`{"email":"a@b.c","password":"x"}{}`, ""},
		"invalid UTF-8":            {"{\"email\":\"a@b.c\",\"password\":\"\xff\"}", ""},
		"null required field":      {`{"email":null,"password":"x"}`, "email"},
		"U+0000 in a string":       {`{"email":"a@b.c","password":"x\u0000"}`, "password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := subjects.Login.Decode([]byte(test.message))
			invalidField(t, err, test.field)
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	t.Parallel()
	req, err := subjects.Login.Decode([]byte(` {"email":"a@b.c","password":"\u0078é"} `))
	if err != nil || req != (subjects.LoginRequest{Email: "a@b.c", Password: "xé"}) {
		t.Errorf("Login: got %+v, %v", req, err)
	}
	for _, message := range []string{"", " ", "{}"} {
		if _, err := subjects.GetUserProfile.Decode([]byte(message)); err != nil {
			t.Errorf("an endpoint without fields rejects %q: %v", message, err)
		}
		if got, err := subjects.ListWorkflows.Decode([]byte(message)); err != nil || got.PageLimit() != 50 {
			t.Errorf("an endpoint with optional fields decodes %q to %+v, %v", message, got, err)
		}
	}
	if _, err := subjects.GetUserProfile.Decode([]byte(`{"a":1}`)); err == nil {
		t.Error("an endpoint without fields accepts an unknown field")
	}
}

// bound is one message for an endpoint, and the field for which it is rejected; "" if it is valid.
type bound struct {
	endpoint      *subjects.Descriptor
	message, want string
}

func TestBounds(t *testing.T) {
	t.Parallel()
	list, create, approve := subjects.ListSchedules.Describe(), subjects.CreateAPIKey.Describe(), subjects.DecideApproval.Describe()
	execute, notify := subjects.ExecuteWorkflow.Describe(), subjects.SendNotification.Describe()
	nine, _ := json.Marshal(subjects.Scopes())
	for _, b := range []bound{
		{list, `{"limit":1}`, ""},
		{list, `{"limit":200}`, ""},
		{list, `{"limit":0}`, "limit"},
		{list, `{"limit":201}`, "limit"},
		{list, `{"limit":-1}`, "limit"},
		{list, `{"limit":1.5}`, "limit"},
		{list, `{"limit":"1"}`, "limit"},
		{list, `{"limit":null}`, ""}, // null in an optional field counts as absent
		{list, `{"paused":null}`, ""},
		{list, `{"paused":false}`, ""},
		{list, `{"cursor":"` + strings.Repeat("c", 1024) + `"}`, ""},
		{list, `{"cursor":"` + strings.Repeat("c", 1025) + `"}`, "cursor"},
		{list, `{"workflow_id":"` + someID + `"}`, ""},
		{list, `{"workflow_id":"` + someID + `0"}`, "workflow_id"},
		{create, `{"name":"n","scopes":` + string(nine) + `}`, ""},
		{create, `{"name":"n","scopes":[]}`, "scopes"},
		{create, `{"name":"n","scopes":["workflows.read","workflows.read"]}`, "scopes"},
		{create, `{"name":"n","scopes":["second_factor.enroll"]}`, "scopes[0]"},
		{create, `{"name":"","scopes":["workflows.read"]}`, "name"},
		{create, `{"name":"` + strings.Repeat("é", 100) + `","scopes":["workflows.read"]}`, ""},
		{create, `{"name":"` + strings.Repeat("é", 101) + `","scopes":["workflows.read"]}`, "name"},
		{create, `{"name":"n","scopes":["workflows.read"],"expires_at":"2030-01-02T03:04:05Z"}`, ""},
		{create, `{"name":"n","scopes":["workflows.read"],"expires_at":"tomorrow"}`, "expires_at"},
		{approve, `{"approval_id":"` + someID + `","decision":"approve"}`, ""},
		{approve, `{"approval_id":"` + someID + `","decision":"Approve"}`, "decision"},
		{execute, `{"workflow_id":"` + someID + `","timeout":240}`, ""},
		{execute, `{"workflow_id":"` + someID + `","timeout":241}`, "timeout"},
		{execute, `{"workflow_id":"` + someID + `","version":0}`, "version"},
		{execute, `{"workflow_id":"` + someID + `","input":[null,{"a":"b"}]}`, ""},
		{notify, `{"category":"system","channels":["email","sms","push","in_app","webhook"]}`, ""},
		{notify, `{"category":"system","channels":["pigeon"]}`, "channels[0]"},
		{notify, `{"category":"system","data":{"any":{"thing":[1]}}}`, ""},
		{notify, `{"category":"system","data":[1]}`, "data"},
	} {
		t.Run(fmt.Sprint(b.endpoint.Name(), " ", b.message[:min(60, len(b.message))]), func(t *testing.T) {
			t.Parallel()
			err := b.endpoint.Validate([]byte(b.message))
			if b.want != "" {
				invalidField(t, err, b.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryViolationIsReported(t *testing.T) {
	t.Parallel()
	err := subjects.Login.Describe().Validate([]byte(`{"email":"nobody","password":7,"admin":true}`))
	var e *subjects.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range e.Fields {
		got[f.Field] = true
	}
	for _, want := range []string{"email", "password", "admin"} {
		if !got[want] {
			t.Errorf("field %s is not reported: %+v", want, e.Fields)
		}
	}
}

func TestDecodeBase64(t *testing.T) {
	t.Parallel()
	const invalid = "?"
	for content, want := range map[string]string{
		`"aGVsbG8="`: "hello", `""`: "", `"-_8="`: invalid, `"a"`: invalid, `"aGVsbG8"`: invalid, `"canary%"`: invalid, `7`: invalid, `null`: invalid,
	} {
		req, err := subjects.PutObjectPart.Decode([]byte(`{"object_id":"` + someID + `","offset":0,"content":` + content + `}`))
		if want != invalid {
			if err != nil || string(req.Content) != want {
				t.Errorf("%s decodes to %q, %v", content, req.Content, err)
			}
			continue
		}
		invalidField(t, err, "content")
		if body, _ := json.Marshal(subjects.ProblemOf(err, "", "")); strings.Contains(string(body), "canary") {
			t.Errorf("the problem contains the value: %s", body)
		}
	}
}

func TestValidationErrorsDoNotContainValues(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		`{"email":"canary-in-email","password":["canary-in-password"]}`,
		`{"email":"a@b.c","password":"canary\u0000"}`,
		`{"email":"a@b.c","password":"canary","password":"canary"}`,
	} {
		_, err := subjects.Login.Decode([]byte(message))
		if body, _ := json.Marshal(subjects.ProblemOf(err, "", "")); err == nil || strings.Contains(string(body), "canary") {
			t.Errorf("the problem for %s contains the value: %s", message, body)
		}
	}
}

// TestUnstorableValuesAreRejected covers values that huma's validator accepts or panics on.
func TestUnstorableValuesAreRejected(t *testing.T) {
	t.Parallel()
	create, execute := subjects.CreateAPIKey.Describe(), subjects.ExecuteWorkflow.Describe()
	for _, b := range []bound{
		{subjects.ListConsents.Describe(), `{"scope":"a\u0000b"}`, "scope"},
		{create, `{"name":"n\u0000","scopes":["workflows.read"]}`, "name"},
		{create, `{"name":"n","scopes":["workflows.read",[[]]]}`, "scopes[1]"},
		{create, `{"name":"n","scopes":[{}]}`, "scopes[0]"},
		{create, `{"name":"n","scopes":null}`, "scopes"},
		{subjects.BulkValidateConsents.Describe(), `{"checks":[{"scope":"a"},{"scope":"a\u0000"}]}`, "checks[1].scope"},
		{subjects.SendNotification.Describe(), `{"category":"system","subject":"s","channels":["email",["sms"]]}`, "channels[1]"},
		{subjects.ReceiveWebhook.Describe(), `{"provider":"p","hook_id":"` + someID + `","body":"","headers":{"a":["b\u0000"]}}`, "headers.a[0]"},
		{subjects.ReceiveWebhook.Describe(), `{"provider":"p","hook_id":"` + someID + `","body":"","headers":{"a\u0000":["b"]}}`, "headers"},
		{execute, `{"workflow_id":"` + someID + `","input":{"free":"a\u0000b"}}`, ""}, // free-form JSON is stored as text
	} {
		err := b.endpoint.Validate([]byte(b.message))
		if b.want != "" {
			invalidField(t, err, b.want)
		} else if err != nil {
			t.Errorf("%s: %v", b.message, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	message := []byte(`{"email":"ada@example.com","password":"correct horse"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := subjects.Login.Decode(message); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode checks that any message is either rejected with CodeInvalid, or decodes to a request that encodes to a valid
// message again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"channels":["email"],"data":{"a":[1,{"b":null}]},"category":"system"}`))
	f.Add([]byte(`{"category":"system","category":"workflow"}`))
	f.Add([]byte(`{"Category":"system","send_at":"2030-01-02T03:04:05+01:00"}`))
	f.Add([]byte("{\"category\":\"system\",\"body\":\"\\u0000\xff\"}"))
	f.Fuzz(func(t *testing.T, message []byte) {
		req, err := subjects.SendNotification.Decode(message)
		if err != nil {
			if subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Errorf("got %v, want CodeInvalid", err)
			}
			return
		}
		again, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := subjects.SendNotification.Describe().Validate(again); err != nil {
			t.Errorf("%s is valid, re-encoded as %s it is not: %v", message, again, err)
		}
	})
}
