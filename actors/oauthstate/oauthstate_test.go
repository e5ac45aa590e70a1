package oauthstate_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
)

// flow is what a test keeps for a state.
type flow struct {
	Provider string `json:"provider"`
	Verifier string `json:"verifier"`
}

func admit(flow) error { return nil }

// open opens auth's store on a new mesh.
func open(t *testing.T) (*oauthstate.Store[flow], *actortest.Mesh) {
	t.Helper()
	m := actortest.Start(t, actortest.Quiet())
	store, err := oauthstate.Open[flow](t.Context(), m.Conn(t, "auth").JS, actortest.Sealer(t), kv.AuthOAuthState)
	if err != nil {
		t.Fatal(err)
	}
	return store, m
}

func TestStateIsTakenOnce(t *testing.T) {
	t.Parallel()
	store, _ := open(t)
	state, value := oauthstate.NewSecret(), flow{Provider: "p", Verifier: "v"}
	if _, err := store.Take(t.Context(), state, admit); !errors.Is(err, oauthstate.ErrNoState) {
		t.Errorf("an unknown state: %v", err)
	}
	if err := store.Put(t.Context(), state, value, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), state, value, time.Minute); !errors.Is(err, kv.ErrExists) {
		t.Errorf("putting a state twice: %v", err)
	}
	if got, err := store.Take(t.Context(), state, admit); err != nil || got != value {
		t.Errorf("%+v, %v, want %+v", got, err, value)
	}
	if got, err := store.Take(t.Context(), state, admit); !errors.Is(err, oauthstate.ErrNoState) || got != (flow{}) {
		t.Errorf("a used state: %+v, %v", got, err)
	}
}

func TestConcurrentTakes(t *testing.T) {
	t.Parallel()
	store, _ := open(t)
	for range 10 {
		state := oauthstate.NewSecret()
		if err := store.Put(t.Context(), state, flow{Provider: "p"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		var taken atomic.Int64
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				_, err := store.Take(t.Context(), state, admit)
				switch {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, oauthstate.ErrNoState):
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if taken.Load() != 1 {
			t.Errorf("the state was taken %d times", taken.Load())
		}
	}
}

// A callback that is not admitted, such as one from another browser, does not consume the state.
func TestRejectedTakeKeepsTheState(t *testing.T) {
	t.Parallel()
	store, _ := open(t)
	rejection := errors.New("rejection")
	state := oauthstate.NewSecret()
	if err := store.Put(t.Context(), state, flow{Provider: "p"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	got, err := store.Take(t.Context(), state, func(f flow) error {
		if f.Provider != "p" {
			t.Errorf("admit gets %+v", f)
		}
		return rejection
	})
	if err != rejection || got != (flow{}) { //nolint:errorlint // it must be returned unchanged
		t.Errorf("%+v, %v, want admit's error", got, err)
	}
	if _, err := store.Take(t.Context(), state, admit); err != nil {
		t.Errorf("after a rejection: %v", err)
	}
}

func TestStateExpires(t *testing.T) {
	t.Parallel()
	store, _ := open(t)
	state := oauthstate.NewSecret()
	if err := store.Put(t.Context(), state, flow{}, time.Second); err != nil {
		t.Fatal(err)
	}
	rejection := errors.New("rejection")
	actortest.Eventually(t, "the state has expired", func() bool {
		_, err := store.Take(t.Context(), state, func(flow) error { return rejection })
		return errors.Is(err, oauthstate.ErrNoState)
	})
}

// A state whose key has been retired by a rotation counts as expired: the user starts the sign-in again.
func TestStateOfARetiredKeyHasExpired(t *testing.T) {
	t.Parallel()
	store, m := open(t)
	state := oauthstate.NewSecret()
	if err := store.Put(t.Context(), state, flow{Provider: "p"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	rotated, err := oauthstate.Open[flow](t.Context(), m.Conn(t, "auth").JS, actortest.Sealer(t), kv.AuthOAuthState)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotated.Take(t.Context(), state, admit); !errors.Is(err, oauthstate.ErrNoState) {
		t.Errorf("%v, want ErrNoState", err)
	}
}

// The bucket reveals neither the state nor the value, and a value cannot be moved to another state.
func TestBucketIsSealed(t *testing.T) {
	t.Parallel()
	store, m := open(t)
	states := []string{oauthstate.NewSecret(), oauthstate.NewSecret()}
	for _, state := range states {
		if err := store.Put(t.Context(), state, flow{Verifier: "canary " + state}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	bucket, err := kv.Open[map[string]string](t.Context(), m.Conn(t, "auth").JS, kv.AuthOAuthState)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bucket.Keys(t.Context(), ">")
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
	var entries []map[string]string
	for _, key := range keys {
		entry, err := bucket.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			if strings.Contains(key, state) || strings.Contains(entry.Value["sealed"], state) {
				t.Errorf("%s: %v contains a state", key, entry.Value)
			}
		}
		entries = append(entries, entry.Value)
	}
	if _, err := bucket.Put(t.Context(), keys[0], entries[1]); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, state := range states {
		if _, err := store.Take(t.Context(), state, admit); err != nil {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d of two states fail, want the one with the other's value", failures)
	}
}

func TestSecretsAndBindings(t *testing.T) {
	t.Parallel()
	first, second := oauthstate.NewSecret(), oauthstate.NewSecret()
	if first == second || len(first) != 43 {
		t.Errorf("two secrets: %q, %q", first, second)
	}
	if got := oauthstate.KeepBinding(first); got != first {
		t.Errorf("a valid binding %q is replaced by %q", first, got)
	}
	for _, cookie := range []string{
		"", "x", first[:42], first + "A", first + "=", strings.Repeat("!", 43), first[:42] + "+",
		strings.Repeat("A", 42) + "B", // its last character has bits beyond the 32nd byte
	} {
		if got := oauthstate.KeepBinding(cookie); got == cookie || len(got) != 43 {
			t.Errorf("the cookie %q becomes %q, want a new binding", cookie, got)
		}
	}
	hash := oauthstate.HashBinding(first)
	if !oauthstate.BindingIs(first, hash) {
		t.Error("a binding does not match its hash")
	}
	for _, other := range []string{second, "", first[:42]} {
		if oauthstate.BindingIs(other, hash) {
			t.Errorf("%q matches the hash of another binding", other)
		}
	}
	if oauthstate.BindingIs(first, nil) || oauthstate.BindingIs("", nil) {
		t.Error("no hash matches a binding")
	}
}

func TestGoodRedirect(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]bool{
		"https://app.example/callback":          true,
		"https://app.example:8443/cb?x=1":       true,
		"https://app.example":                   true,
		"http://127.0.0.1:5000/callback":        true,
		"http://localhost/callback":             true,
		"http://[::1]:5000/":                    true,
		"com.example.app:/callback":             true,
		"com.example.app://callback":            true,
		"":                                      false,
		"callback":                              false,
		"//app.example/callback":                false,
		"https://":                              false,
		"https:///callback":                     false,
		"https:callback":                        false,
		"http://app.example/callback":           false,
		"http://127.0.0.1.example/":             false,
		"http://localhost.example/":             false,
		"http://127.0.0.2/":                     false,
		"https://app.example/callback#fragment": false,
		"https://app.example/callback#":         false,
		"https://user@app.example/":             false,
		"https://user:secret@app.example/":      false,
		"https://*.example/":                    false,
		"https://app.example/*":                 false,
		"javascript:alert(1)":                   false,
		"data:text/html,x":                      false,
		"file:///etc/passwd":                    false,
		"myapp:/callback":                       false,
		"https://app.example/%zz":               false,
		"HTTPS://app.example/callback":          true, // schemes are case-insensitive
		"JavaScript:alert(1)":                   false,
	} {
		if got := oauthstate.GoodRedirect(uri); got != want {
			t.Errorf("GoodRedirect(%q) = %t", uri, got)
		}
	}
}
