package providers_test

import (
	"io/fs"
	"reflect"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// TestLoadTrusted loads each manifest without validation, as weft does, and with it. Both must validate the same inputs, build
// the same requests, and interpret responses in the same way.
func TestLoadTrusted(t *testing.T) {
	t.Parallel()
	checked, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	trusted := loadTrusted(t)
	if len(trusted) != len(checked) {
		t.Errorf("LoadTrusted loaded %d providers, Load %d", len(trusted), len(checked))
	}
	for id, p := range checked {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			other := trusted[id]
			if len(other.Actions) != len(p.Actions) || len(other.Auth) != len(p.Auth) {
				t.Fatalf("got %d actions and %d authentication methods, want %d and %d", len(other.Actions), len(other.Auth), len(p.Actions), len(p.Auth))
			}
			same(t, "settings", p.ValidateConnection(manifest.Connection{}), other.ValidateConnection(manifest.Connection{}))
			for _, a := range append([]*manifest.Action{p.Health, p.Proxy}, p.Actions...) {
				sameAction(t, a, actionOf(other, a.ID))
			}
		})
	}
}

func loadTrusted(t testing.TB) map[string]*manifest.Provider {
	t.Helper()
	files, err := fs.Glob(providers.FS, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(map[string]*manifest.Provider, len(files))
	for _, file := range files {
		text, err := fs.ReadFile(providers.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := manifest.LoadTrusted(file, text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		loaded[p.ID] = p
	}
	return loaded
}

func actionOf(p *manifest.Provider, id string) *manifest.Action {
	switch id {
	case p.Health.ID:
		return p.Health
	case p.Proxy.ID:
		return p.Proxy
	}
	a, _ := p.Action(id)
	return a
}

func sameAction(t *testing.T, a, other *manifest.Action) {
	t.Helper()
	same(t, a.ID+" without input", a.ValidateInput(nil), other.ValidateInput(nil))
	same(t, a.ID+"'s example", a.ValidateInput(a.Example), other.ValidateInput(a.Example))
	conn := manifest.Connection{Credentials: map[string]any{
		"access_token": "a-token", "api_key": "a-key", "username": "ada", "password": "a-password", "token": "a-token",
	}}
	for i, step := range a.Before {
		sameAction(t, step.Action, other.Before[i].Action)
	}
	input := manifest.Call{Input: a.Example, At: time.Unix(1_700_000_000, 0)}
	one, err := a.Request(conn, input)
	two, otherErr := other.Request(conn, input)
	same(t, a.ID+"'s request", err, otherErr)
	if err == nil && one.Header.Get("Content-Type") == two.Header.Get("Content-Type") { // not equal for multipart bodies, which have random boundaries
		same(t, a.ID+"'s request", one, two)
	}
	for _, status := range []int{200, 429} {
		answer := manifest.Answer{Status: status, Body: []byte(`{"ok":true,"error":"no","id":"7"}`), At: input.At}
		output, failed := a.Interpret(conn, a.Example, answer)
		otherOutput, otherFailed := other.Interpret(conn, a.Example, answer)
		same(t, a.ID+"'s output", output, otherOutput)
		same(t, a.ID+"'s error", failed, otherFailed)
	}
}

func same(t *testing.T, what string, one, two any) {
	t.Helper()
	if !reflect.DeepEqual(one, two) {
		t.Errorf("%s: validated %v, trusted %v", what, one, two)
	}
}
