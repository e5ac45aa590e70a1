package subjects_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/subjects"
)

func TestDecodeRefusesWhatTheTypeDoesNotSay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ message, field string }{
		"missing":                   {`{"password":"x"}`, "email"},
		"empty message":             {``, "email"},
		"unknown field":             {`{"email":"a@b.c","password":"x","admin":true}`, "admin"},
		"another case":              {`{"EMAIL":"a@b.c","password":"x"}`, "email"},
		"both cases":                {`{"email":"a@b.c","EMAIL":"d@e.f","password":"x"}`, "EMAIL"},
		"duplicate key":             {`{"email":"a@b.c","email":"d@e.f","password":"x"}`, ""},
		"wrong type":                {`{"email":"a@b.c","password":7}`, "password"},
		"past a bound":              {`{"email":"a@b.c","password":"` + strings.Repeat("x", 1025) + `"}`, "password"},
		"not an address":            {`{"email":"nobody","password":"x"}`, "email"},
		"not an object":             {`["email"]`, ""},
		"not JSON":                  {`{"email":`, ""},
		"more than one JSON value":  {`{"email":"a@b.c","password":"x"}{}`, ""},
		"broken UTF-8 in a string":  {"{\"email\":\"a@b.c\",\"password\":\"\xff\"}", ""},
		"null for a required field": {`{"email":null,"password":"x"}`, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := subjects.Login.Decode([]byte(test.message))
			var e *subjects.Error
			if !errors.As(err, &e) || e.Code != subjects.CodeInvalid || len(e.Fields) == 0 {
				t.Fatalf("got %v, want an invalid error with fields", err)
			}
			if e.Fields[0].Field != test.field {
				t.Errorf("field is %q, want %q (%v)", e.Fields[0].Field, test.field, err)
			}
		})
	}
	req, err := subjects.Login.Decode([]byte(`{"email":"a@b.c","password":"x"}`))
	if err != nil || req.Email != "a@b.c" || req.Password != "x" {
		t.Errorf("a good message decodes to %+v, %v", req, err)
	}
}

// Bytes are base64 of the usual alphabet, padded; what is not is named, and not repeated.
func TestDecodeTakesBytesAsBase64(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{`"aGVsbG8="`: "hello", `""`: "", `"-_8="`: "?", `"a"`: "?", `"canary%"`: "?", `7`: "?"} {
		req, err := subjects.PutObjectPart.Decode([]byte(`{"object_id":"01a22326-8f31-72ab-bf67-3c8d98feabd1","offset":0,"content":` + content + `}`))
		if want != "?" {
			if err != nil || string(req.Content) != want {
				t.Errorf("%s is %q, %v", content, req.Content, err)
			}
			continue
		}
		var e *subjects.Error
		if !errors.As(err, &e) || e.Code != subjects.CodeInvalid || len(e.Fields) != 1 || e.Fields[0].Field != "content" {
			t.Errorf("%s: %v, want an error of content", content, err)
		}
		if body, _ := json.Marshal(subjects.ProblemOf(err, "", "")); strings.Contains(string(body), "canary") {
			t.Errorf("the problem repeats the value: %s", body)
		}
	}
}

func TestValidationErrorsCarryNoValue(t *testing.T) {
	t.Parallel()
	_, err := subjects.Login.Decode([]byte(`{"email":"canary-in-email","password":["canary-in-password"]}`))
	if body, _ := json.Marshal(subjects.ProblemOf(err, "", "")); strings.Contains(string(body), "canary") {
		t.Errorf("the problem repeats the value: %s", body)
	}
}

// TestWhatHumaLetsThrough is refused where it is: a character that no database keeps, and lists where single values must differ.
func TestWhatHumaLetsThrough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d           *subjects.Descriptor
		text, field string
	}{
		{subjects.ListConsents.Describe(), `{"scope":"a\u0000b"}`, "scope"},
		{subjects.CreateAPIKey.Describe(), `{"name":"n\u0000","scopes":["workflows.read"]}`, "name"},
		{subjects.CreateAPIKey.Describe(), `{"name":"n","scopes":["workflows.read",[[]]]}`, "scopes[1]"},
		{subjects.CreateAPIKey.Describe(), `{"name":"n","scopes":[{}]}`, "scopes[0]"},
		{subjects.CreateAPIKey.Describe(), `{"name":"n","scopes":null}`, "scopes"},
		{subjects.BulkValidateConsents.Describe(), `{"checks":[{"scope":"a"},{"scope":"a\u0000"}]}`, "checks[1].scope"},
		{subjects.SendNotification.Describe(), `{"subject":"s","body":"b","channels":["email",["sms"]]}`, "channels[1]"},
		{subjects.ExecuteWorkflow.Describe(), `{"workflow_id":"0192f8a0-0000-7000-8000-000000000000","input":{"free":"a\u0000b"}}`, ""},
	} {
		err := c.d.Validate([]byte(c.text))
		var e *subjects.Error
		if errors.As(err, &e) {
			if field := e.Fields[0].Field; field != c.field {
				t.Errorf("%s: names %q", c.text, field)
			}
		} else if err != nil || c.field != "" {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestEveryEndpointIsWhole(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		if !d.Access.Anyone && !d.Access.SignedIn && len(d.Access.Services) == 0 {
			t.Errorf("%s: nobody may call it", d.Subject)
		}
		if d.Path != "" && !d.Access.Anyone && !d.Access.SignedIn {
			t.Errorf("%s: on HTTP, and no user may call it", d.Subject)
		}
		for _, service := range d.Access.Services {
			if service == d.Actor {
				t.Errorf("%s: the actor calls itself", d.Subject)
			}
		}
		for _, f := range d.Fields {
			if f.Schema == nil {
				t.Errorf("%s: field %s has no schema", d.Subject, f.Name)
			}
		}
	}
}

// TestSchemasStandAlone: what `nats micro info` shows of an endpoint compiles by itself, with a judge that
// is not the generator's library, and agrees with the validator.
func TestSchemasStandAlone(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		for side, document := range map[string]func() ([]byte, error){"request": d.RequestSchema, "response": d.ResponseSchema} {
			text, err := document()
			if err != nil {
				t.Fatalf("%s: %v", d.Subject, err)
			}
			parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatalf("%s: %v", d.Subject, err)
			}
			compiler := jsonschema.NewCompiler()
			if err := compiler.AddResource("schema.json", parsed); err != nil {
				t.Fatalf("%s: %v", d.Subject, err)
			}
			schema, err := compiler.Compile("schema.json")
			if err != nil {
				t.Errorf("%s: the %s schema does not stand alone: %v", d.Subject, side, err)
				continue
			}
			if side == "request" {
				empty := map[string]any{}
				if ours, theirs := d.ValidateValue(empty) == nil, schema.Validate(empty) == nil; ours != theirs {
					t.Errorf("%s: {} is valid to us: %v, to the judge: %v", d.Subject, ours, theirs)
				}
			}
		}
	}
}

func TestCallerOfReadsTheServersWord(t *testing.T) {
	t.Parallel()
	d := subjects.ExecuteAction.Describe()
	for subject, want := range map[string][2]string{
		d.Subject:                      {"", ""},
		d.ServiceSubject("workflow"):   {"workflow", ""},
		d.EdgeSubject("box7"):          {"", "box7"},
		d.Subject + "x.as.workflow":    {"", ""},
		"weft.v1.auth.login.as.nobody": {"", ""},
	} {
		service, edge := d.CallerOf(subject)
		if service != want[0] || edge != want[1] {
			t.Errorf("%s: got %q %q, want %v", subject, service, edge, want)
		}
	}
}

func TestProblemsSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, code := range subjects.Codes() {
		sent := &subjects.Error{Code: code, Detail: "d", Scope: "s", RetryAfter: 1500 * time.Millisecond}
		body, err := json.Marshal(subjects.ProblemOf(sent, "r", "t"))
		if err != nil {
			t.Fatal(err)
		}
		got := subjects.ParseProblem(body)
		if got.Code != code || got.Scope != "s" || got.RetryAfter != 2*time.Second || code.Status() < 400 || code.Title() == "" {
			t.Errorf("%s: came back as %+v", code, got)
		}
	}
	hidden := subjects.ProblemOf(errors.New("dial tcp 10.0.0.1: secret"), "", "")
	if hidden.Code != subjects.CodeInternal || strings.Contains(hidden.Detail, "10.0.0.1") {
		t.Errorf("a foreign error shows: %+v", hidden)
	}
	if got := subjects.ParseProblem([]byte(`{"code":"made_up"}`)); got.Code != subjects.CodeInternal {
		t.Errorf("a code that is not ours came through as %s", got.Code)
	}
}

func TestOptionalTellsAbsentFromNull(t *testing.T) {
	t.Parallel()
	type patch struct {
		Name subjects.Optional[string] `json:"name,omitzero"`
	}
	for in, want := range map[string]subjects.Optional[string]{
		`{}`:            {},
		`{"name":null}`: {Set: true, Null: true},
		`{"name":"x"}`:  subjects.Some("x"),
	} {
		var p patch
		if err := json.Unmarshal([]byte(in), &p); err != nil || p.Name != want {
			t.Errorf("%s: got %+v, %v", in, p.Name, err)
		}
		if out, err := json.Marshal(p); err != nil || string(out) != in {
			t.Errorf("%s: came back as %s, %v", in, out, err)
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

func FuzzDecodeNeverPanics(f *testing.F) {
	f.Add([]byte(`{"channels":["email"],"data":{"a":[1,{"b":null}]},"category":"system"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		if _, err := subjects.SendNotification.Decode(message); err != nil && subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("got %v", err)
		}
	})
}
