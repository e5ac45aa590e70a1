package auth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func exchange(b *harness, key string) (subjects.KeyToken, error) {
	return mesh.Call(b.t.Context(), b.gateway, subjects.ExchangeAPIKey, subjects.ExchangeAPIKeyRequest{Key: key}, mesh.As{Service: true})
}

func TestAPIKeys(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		ada, eve := b.signUp("ada@example.com"), b.signUp("eve@example.com")
		soon := b.Now().Add(10 * time.Minute).UTC().Truncate(time.Microsecond)
		created := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}, ExpiresAt: &soon,
		}, ada.AccessToken)
		if !strings.HasPrefix(created.Key, created.Prefix) || len(created.Key) < 40 {
			t.Errorf("created %+v", created)
		}
		token, err := exchange(b, created.Key)
		if err != nil || token.UserID != ada.User.ID || token.ExpiresIn > 600 {
			t.Fatalf("the exchange returns %+v, %v", token, err)
		}
		if p := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, token.AccessToken); p.ID != ada.User.ID {
			t.Errorf("the key acts as %+v", p)
		}
		_, err = call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{FirstName: subjects.Some("x")}, token.AccessToken)
		if e := requireCode(t, err, subjects.CodeForbidden); e.Scope != subjects.ScopeUserProfileWrite {
			t.Errorf("the missing scope is %q", e.Scope)
		}
		_, err = call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: subjects.Scopes()}, token.AccessToken)
		requireCode(t, err, subjects.CodeForbidden)
		list := mustCall(b, subjects.ListAPIKeys, subjects.ListAPIKeysRequest{}, ada.AccessToken).Items
		if len(list) != 1 || list[0].ID != created.ID || list[0].LastUsedAt == nil || !list[0].ExpiresAt.Equal(soon) ||
			!slices.Equal(list[0].Scopes, []string{subjects.ScopeUserProfileRead}) {
			t.Errorf("the list is %+v", list)
		}
		_, err = call(b, subjects.RevokeAPIKey, subjects.RevokeAPIKeyRequest{KeyID: created.ID}, eve.AccessToken)
		requireCode(t, err, subjects.CodeNotFound)
		elsewhere := b.verifier()
		mustCall(b, subjects.RevokeAPIKey, subjects.RevokeAPIKeyRequest{KeyID: created.ID}, ada.AccessToken)
		if _, err := elsewhere.Verify(t.Context(), token.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("after revocation, another process returns %v", err)
		}
		_, err = exchange(b, created.Key)
		requireCode(t, err, subjects.CodeUnauthenticated)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
	})
}

func TestAPIKeyExpiryAndDisabledOwner(t *testing.T) {
	b := onSQLite(t)
	admin := b.admin("root@example.com")
	ada := b.signUp("ada@example.com")
	past, soon := b.Now().Add(-time.Second), b.Now().Add(time.Minute)
	scopes := []string{subjects.ScopeUserProfileRead}
	_, err := call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: scopes, ExpiresAt: &past}, ada.AccessToken)
	requireCode(t, err, subjects.CodeInvalid)
	short := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "short", Scopes: scopes, ExpiresAt: &soon}, ada.AccessToken)
	long := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "long", Scopes: scopes}, ada.AccessToken)
	b.clock.advance(time.Minute)
	_, err = exchange(b, short.Key)
	requireCode(t, err, subjects.CodeUnauthenticated)
	_, err = exchange(b, long.Key[:len(long.Key)-1])
	requireCode(t, err, subjects.CodeUnauthenticated)
	token, err := exchange(b, long.Key)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin.AccessToken)
	_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, token.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	_, err = exchange(b, long.Key)
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestAPIKeyIsShownOnce(t *testing.T) {
	b := onSQLite(t)
	ada := b.signUp("ada@example.com")
	header := func() map[string][]string {
		return map[string][]string{mesh.HeaderAuthorization: {"Bearer " + ada.AccessToken}, mesh.HeaderIdempotencyKey: {"k1"}}
	}
	body := []byte(`{"name":"ci","scopes":["user.profile.read"]}`)
	first, err := b.gateway.Forward(t.Context(), subjects.CreateAPIKey.Subject, header(), body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.gateway.Forward(t.Context(), subjects.CreateAPIKey.Subject, header(), body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(first.Data), `"key":"weft_`) || strings.Contains(string(again.Data), `"key"`) ||
		again.Header.Get(mesh.HeaderIdempotencyReplayed) != "true" {
		t.Errorf("first reply %s, repeated reply %s", first.Data, again.Data)
	}
}

func TestCreateAPIKeyRequiresTheOwner(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		ada := b.signUp("ada@example.com")
		secret, _ := b.enableTOTP(ada.AccessToken)
		create := func(password, code string) error {
			_, err := call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
				Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}, Password: password, Code: code,
			}, ada.AccessToken)
			return err
		}
		if err := create("", ""); err != nil {
			t.Errorf("after a recent sign-in: %v", err)
		}
		b.clock.advance(6 * time.Minute)
		requireCode(t, create("", ""), subjects.CodeForbidden)
		requireCode(t, create("not my password", codeAt(t, secret, b.Now())), subjects.CodeInvalid)
		requireCode(t, create(goodPassword, ""), subjects.CodeInvalid)
		if err := create(goodPassword, codeAt(t, secret, b.Now())); err != nil {
			t.Errorf("with both factors: %v", err)
		}
	})
}
