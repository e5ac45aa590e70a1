package subjects_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

type patch struct {
	Name   subjects.Optional[string]            `json:"name,omitzero"`
	Labels subjects.Optional[map[string]string] `json:"labels,omitzero"`
}

func TestOptionalDistinguishesAbsentFromNull(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]subjects.Optional[string]{
		`{}`:            {},
		`{"name":null}`: {Set: true, Null: true},
		`{"name":""}`:   {Set: true},
		`{"name":"x"}`:  subjects.Some("x"),
	} {
		var p patch
		if err := json.Unmarshal([]byte(in), &p); err != nil || p.Name != want {
			t.Errorf("%s: got %+v, %v", in, p.Name, err)
		}
		if out, err := json.Marshal(p); err != nil || string(out) != in {
			t.Errorf("%s: encoded as %s, %v", in, out, err)
		}
		value, present := p.Name.Get()
		if present != (want.Set && !want.Null) || value != want.Value {
			t.Errorf("%s: Get returns %q, %t", in, value, present)
		}
	}
}

func TestOptionalOverwritesOnDecoding(t *testing.T) {
	t.Parallel()
	p := patch{Name: subjects.Some("old"), Labels: subjects.Some(map[string]string{"old": "1"})}
	if err := json.Unmarshal([]byte(`{"name": null ,"labels":{"new":"2"}}`), &p); err != nil {
		t.Fatal(err)
	}
	if p.Name.Value != "" || !p.Name.Null || len(p.Labels.Value) != 1 || p.Labels.Value["new"] != "2" {
		t.Errorf("got %+v", p)
	}
	if err := json.Unmarshal([]byte(`{"name":7}`), &p); err == nil {
		t.Error("a number is accepted as a string")
	}
}

func TestOptionalInRequests(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]subjects.Optional[string]{
		`{}`:                      {},
		`{"first_name":null}`:     {Set: true, Null: true},
		`{"first_name":"Ada"}`:    subjects.Some("Ada"),
		`{"last_name":"Byron"}`:   {},
		`{"first_name":"\u00e9"}`: subjects.Some("é"),
	} {
		req, err := subjects.UpdateUserProfile.Decode([]byte(message))
		if err != nil || req.FirstName != want {
			t.Errorf("%s: got %+v, %v", message, req.FirstName, err)
		}
	}
	for _, message := range []string{`{"first_name":7}`, `{"first_name":"` + strings.Repeat("x", 101) + `"}`} {
		_, err := subjects.UpdateUserProfile.Decode([]byte(message))
		invalidField(t, err, "first_name")
	}
}

func TestSecretsAreMaskedWhenFormatted(t *testing.T) {
	t.Parallel()
	testMasking(t, subjects.SecretText("canary"), subjects.SecretText(""), `"canary"`)
	testMasking(t, subjects.SecretMap{"key": "canary"}, subjects.SecretMap{}, `{"key":"canary"}`)
}
