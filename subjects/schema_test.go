package subjects_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/subjects"
)

// compile compiles a schema document with a library that did not generate it.
func compile(t *testing.T, document []byte) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatalf("the schema does not compile by itself: %v\n%s", err, document)
	}
	return schema
}

// TestSchemasAreSelfContained compiles every schema as `nats micro info` shows it, and compares its verdict on an empty request
// with the validator's.
func TestSchemasAreSelfContained(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			reply, err := d.ResponseSchema()
			if err != nil {
				t.Fatal(err)
			}
			compile(t, reply)
			request, err := d.RequestSchema()
			if err != nil {
				t.Fatal(err)
			}
			empty := map[string]any{}
			if ours, theirs := d.ValidateValue(empty), compile(t, request).Validate(empty); (ours == nil) != (theirs == nil) {
				t.Errorf("{}: the validator says %v, JSON Schema %v", ours, theirs)
			}
			if strings.Contains(string(request)+string(reply), "#/components/") {
				t.Error("a reference leads out of the document")
			}
		})
	}
}

// TestValidatorAgreesWithJSONSchema compares the validator with JSON Schema where both must agree. Duplicate keys, formats and
// keys that differ in case only are outside JSON Schema.
func TestValidatorAgreesWithJSONSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d        *subjects.Descriptor
		messages []string
	}{
		{subjects.Login.Describe(), []string{
			`{"email":"a@b.c","password":"x"}`, `{"email":"a@b.c"}`, `{"email":"a@b.c","password":7}`, `{"email":"a@b.c","password":""}`,
			`{"email":"a@b.c","password":"x","more":1}`,
		}},
		{subjects.CreateAPIKey.Describe(), []string{
			`{"name":"n","scopes":["workflows.read"]}`, `{"name":"n","scopes":[]}`, `{"name":"n","scopes":null}`,
			`{"name":"n","scopes":["workflows.read","workflows.read"]}`, `{"name":"n","scopes":["none"]}`,
		}},
		{subjects.UpdateUserProfile.Describe(), []string{
			`{}`, `{"first_name":null}`, `{"first_name":"x"}`, `{"first_name":7}`, `{"none":null}`,
		}},
		{subjects.BulkValidateConsents.Describe(), []string{
			`{"checks":[{"scope":"a"}]}`, `{"checks":[]}`, `{"checks":[{}]}`, `{"checks":[{"scope":"a","more":1}]}`, `{"checks":{}}`,
		}},
	} {
		document, err := c.d.RequestSchema()
		if err != nil {
			t.Fatal(err)
		}
		schema := compile(t, document)
		for _, message := range c.messages {
			var value any
			if err := json.Unmarshal([]byte(message), &value); err != nil {
				t.Fatal(err)
			}
			if ours, theirs := c.d.Validate([]byte(message)), schema.Validate(value); (ours == nil) != (theirs == nil) {
				t.Errorf("%s %s: the validator says %v, JSON Schema %v", c.d.Name(), message, ours, theirs)
			}
		}
	}
}

// object is the part of a schema document that the tests look at.
type object struct {
	Properties           map[string]map[string]any `json:"properties"`
	Required             []string                  `json:"required"`
	AdditionalProperties any                       `json:"additionalProperties"`
	Defs                 map[string]any            `json:"$defs"`
}

func documentOf(t *testing.T, document func() ([]byte, error)) object {
	t.Helper()
	text, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestRequestSchema(t *testing.T) {
	t.Parallel()
	create := documentOf(t, subjects.CreateAPIKey.Describe().RequestSchema)
	if create.AdditionalProperties != false {
		t.Error("unknown fields are allowed")
	}
	if slices.Sort(create.Required); !slices.Equal(create.Required, []string{"name", "scopes"}) {
		t.Errorf("required fields are %v", create.Required)
	}
	if got := create.Properties["scopes"]["type"]; got != "array" {
		t.Errorf("a required list has the type %v: it must not be nullable", got)
	}
	if got := create.Properties["name"]; got["minLength"] != 1.0 || got["maxLength"] != 100.0 || got["type"] != "string" {
		t.Errorf("bounds are lost: %v", got)
	}
	profile := documentOf(t, subjects.UpdateUserProfile.Describe().RequestSchema)
	if got, _ := profile.Properties["first_name"]["type"].([]any); !slices.Equal(got, []any{"string", "null"}) || len(profile.Required) > 0 {
		t.Errorf("an Optional has the type %v, required fields are %v", got, profile.Required)
	}
	part := documentOf(t, subjects.PutObjectPart.Describe().RequestSchema)
	if got := part.Properties["content"]["contentEncoding"]; got != "base64" {
		t.Errorf("bytes have the content encoding %v", got)
	}
}

func TestReplySchema(t *testing.T) {
	t.Parallel()
	key := documentOf(t, subjects.CreateAPIKey.Describe().ResponseSchema)
	if slices.Contains(key.Required, "key") || !slices.Contains(key.Required, "id") {
		t.Errorf("required fields are %v: a replay omits the key", key.Required)
	}
	page := documentOf(t, subjects.ListWorkflows.Describe().ResponseSchema)
	items, _ := page.Properties["items"]["items"].(map[string]any)
	if items["$ref"] != "#/$defs/Workflow" || page.Defs["Workflow"] == nil {
		t.Errorf("items are %v, definitions %v", items, slices.Sorted(maps.Keys(page.Defs)))
	}
	grant := documentOf(t, subjects.GrantConsent.Describe().ResponseSchema)
	if grant.Properties["scope"] == nil || grant.Properties["receipt"] == nil {
		t.Errorf("embedded and referenced fields are %v", grant.Properties)
	}
}

// TestStatusConstantsAreInTheSchemas compares the constants with the enums in struct tags, which cannot refer to constants.
func TestStatusConstantsAreInTheSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    *subjects.Descriptor
		want []any
	}{
		{subjects.GetConsent.Describe(), []any{
			subjects.ConsentActive, subjects.ConsentRevoked, subjects.ConsentExpired, subjects.ConsentSuperseded, subjects.ConsentRefused,
			subjects.ConsentRenewalRequired, subjects.ConsentGPC,
		}},
		{subjects.GetIntegration.Describe(), []any{subjects.ConnectionActive, subjects.ConnectionNeedsReauth, subjects.ConnectionDisabled}},
		{subjects.GetHook.Describe(), []any{subjects.HookPending, subjects.HookActive}},
		{subjects.FinishPasskeyRegistration.Describe(), []any{subjects.PasskeyActive, subjects.PasskeySuspended}},
		{subjects.GetApproval.Describe(), []any{
			subjects.ApprovalPending, subjects.ApprovalApproved, subjects.ApprovalRejected, subjects.ApprovalExpired, subjects.ApprovalWithdrawn,
		}},
		{subjects.GetExecutionStatus.Describe(), []any{
			subjects.ExecutionPending, subjects.ExecutionRunning, subjects.ExecutionWaiting, subjects.ExecutionSuspended,
			subjects.ExecutionCompleted, subjects.ExecutionFaulted, subjects.ExecutionCancelled,
		}},
	} {
		if got, _ := documentOf(t, c.d.ResponseSchema).Properties["status"]["enum"].([]any); !slices.Equal(got, c.want) {
			t.Errorf("%s: the status is one of %v, the constants are %v", c.d.Name(), got, c.want)
		}
	}
	for name, want := range map[string][]any{
		"Identity": {subjects.IdentityActive, subjects.IdentityNeedsReauth},
		"Failure":  {subjects.FailureOpen, subjects.FailureReplayed, subjects.FailureDismissed},
	} {
		if got := subjects.Schemas()[name].Properties["status"].Enum; !slices.Equal(got, want) {
			t.Errorf("%s: the status is one of %v, the constants are %v", name, got, want)
		}
	}
}

// TestScopeEnumsListEveryScope compares the enums in struct tags with Scopes.
func TestScopeEnumsListEveryScope(t *testing.T) {
	t.Parallel()
	var want []any
	for _, scope := range subjects.Scopes() {
		want = append(want, scope)
	}
	scopes, _ := documentOf(t, subjects.CreateAPIKey.Describe().RequestSchema).Properties["scopes"]["items"].(map[string]any)
	if got, _ := scopes["enum"].([]any); !slices.Equal(got, want) {
		t.Errorf("a key's scopes are among %v", got)
	}
}
