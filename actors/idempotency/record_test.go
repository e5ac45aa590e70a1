package idempotency

import (
	"strings"
	"testing"
)

func TestRedactJSON(t *testing.T) {
	t.Parallel()
	fields := []string{"token", "secret"}
	for body, want := range map[string]string{
		`{"id":"1","token":"t"}`:                 `{"id":"1"}`,
		`{"token":"t"}`:                          `{}`,
		`{"a":{"secret":{"x":1},"b":2}}`:         `{"a":{"b":2}}`,
		`[{"token":"t"},{"c":[{"secret":1},2]}]`: `[{},{"c":[{},2]}]`,
		`{"Token":"t","tokens":["t"]}`:           `{"Token":"t","tokens":["t"]}`,
		`"token"`:                                `"token"`,
		`{"n":12345678901234567890,"f":1.10}`:    `{"f":1.10,"n":12345678901234567890}`,
		`null`:                                   `null`,
		``:                                       ``,
		`not JSON`:                               ``,
		`{"token":"t"`:                           ``,
		`{"id":"1"} {"token":"t"}`:               ``,
		`{"text":"token","list":[true,null,"secret"]}`: `{"list":[true,null,"secret"],"text":"token"}`,
	} {
		if got := string(redactJSON([]byte(body), fields)); got != want {
			t.Errorf("%s becomes %s, want %s", body, got, want)
		}
	}
	if got := string(redactJSON([]byte("not JSON"), nil)); got != "not JSON" {
		t.Errorf("without fields the body becomes %s", got)
	}
}

// Keys that differ in any part have different ids, also if their parts yield the same text when joined.
func TestKeyID(t *testing.T) {
	t.Parallel()
	seen := map[string]Key{}
	for _, key := range []Key{
		{"e", "c", "k"}, {"ec", "", "k"}, {"e", "ck", ""}, {"", "ec", "k"}, {"e", "c", "K"}, {"", "", ""},
		{"e", "c", strings.Repeat("k", 127)}, {"e", "c", strings.Repeat("k", 128)}, {"e", "c\x01k", ""},
	} {
		id := key.id()
		if other, ok := seen[id]; ok {
			t.Errorf("%+v and %+v have the same id", key, other)
		}
		seen[id] = key
		if id != key.id() {
			t.Errorf("the id of %+v is not stable", key)
		}
		if key.Key != "" && len(key.Key) > 1 && strings.Contains(id, key.Key) {
			t.Errorf("the id %s contains the key", id)
		}
	}
}

func TestAnswerEmpty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer Answer
		want   bool
	}{
		"zero":         {Answer{}, true},
		"empty header": {Answer{Header: map[string][]string{}, Body: []byte{}}, true},
		"a body":       {Answer{Body: []byte("{}")}, false},
		"a header":     {Answer{Header: map[string][]string{"Code": {"conflict"}}}, false},
	} {
		if got := c.answer.empty(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
