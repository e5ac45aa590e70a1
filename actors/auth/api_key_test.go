package auth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func exchange(b *bench, key string) (subjects.KeyToken, error) {
	return mesh.Call(b.t.Context(), b.gateway, subjects.ExchangeAPIKey, subjects.ExchangeAPIKeyRequest{Key: key}, mesh.As{Service: true})
}

func TestAPIKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ada, eve := b.signedUp("ada@example.com"), b.signedUp("eve@example.com")
		soon := b.Now().Add(10 * time.Minute).UTC().Truncate(time.Millisecond)
		created := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}, ExpiresAt: &soon,
		}, ada.AccessToken)
		if !strings.HasPrefix(created.Key, created.Prefix) || len(created.Key) < 40 {
			t.Errorf("created %+v", created)
		}
		token, err := exchange(b, created.Key)
		if err != nil || token.UserID != ada.User.ID || token.ExpiresIn > 600 {
			t.Fatalf("exchanged for %+v, %v", token, err)
		}
		if p := must(b, subjects.GetUserProfile, subjects.Empty{}, token.AccessToken); p.ID != ada.User.ID {
			t.Errorf("the key acts as %+v", p)
		}
		_, err = call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{FirstName: subjects.Some("x")}, token.AccessToken)
		if e := refused(t, err, subjects.CodeForbidden); e.Scope != subjects.ScopeUserProfileWrite {
			t.Errorf("the missing scope is %q", e.Scope)
		}
		_, err = call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: subjects.Scopes()}, token.AccessToken)
		refused(t, err, subjects.CodeForbidden)
		list := must(b, subjects.ListAPIKeys, subjects.ListAPIKeysRequest{}, ada.AccessToken).Items
		if len(list) != 1 || list[0].ID != created.ID || list[0].LastUsedAt == nil || !list[0].ExpiresAt.Equal(soon) ||
			!slices.Equal(list[0].Scopes, []string{subjects.ScopeUserProfileRead}) {
			t.Errorf("the list is %+v", list)
		}
		_, err = call(b, subjects.RevokeAPIKey, subjects.RevokeAPIKeyRequest{KeyID: created.ID}, eve.AccessToken)
		refused(t, err, subjects.CodeNotFound)
		elsewhere := b.verifier()
		must(b, subjects.RevokeAPIKey, subjects.RevokeAPIKeyRequest{KeyID: created.ID}, ada.AccessToken)
		if _, err := elsewhere.Verify(t.Context(), token.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("after revoking, another process says %v", err)
		}
		_, err = exchange(b, created.Key)
		refused(t, err, subjects.CodeUnauthenticated)
		must(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
	})
}

func TestAPIKeysEndWithTheirTimeAndTheirOwner(t *testing.T) {
	b := once(t)
	admin := b.admin("root@example.com")
	ada := b.signedUp("ada@example.com")
	past, soon := b.Now().Add(-time.Second), b.Now().Add(time.Minute)
	scopes := []string{subjects.ScopeUserProfileRead}
	_, err := call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: scopes, ExpiresAt: &past}, ada.AccessToken)
	refused(t, err, subjects.CodeInvalid)
	short := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "short", Scopes: scopes, ExpiresAt: &soon}, ada.AccessToken)
	long := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "long", Scopes: scopes}, ada.AccessToken)
	b.clock.forward(time.Minute)
	_, err = exchange(b, short.Key)
	refused(t, err, subjects.CodeUnauthenticated)
	_, err = exchange(b, long.Key[:len(long.Key)-1])
	refused(t, err, subjects.CodeUnauthenticated)
	token, err := exchange(b, long.Key)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin.AccessToken)
	_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, token.AccessToken)
	refused(t, err, subjects.CodeUnauthenticated)
	_, err = exchange(b, long.Key)
	refused(t, err, subjects.CodeUnauthenticated)
}

func TestAKeyIsShownOnce(t *testing.T) {
	b := once(t)
	ada := b.signedUp("ada@example.com")
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
		t.Errorf("first %s, again %s", first.Data, again.Data)
	}
}

func TestAnAPIKeyIsMadeByItsOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ada := b.signedUp("ada@example.com")
		secret, _ := b.withTOTP(ada.AccessToken)
		create := func(password, code string) error {
			_, err := call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
				Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}, Password: password, Code: code,
			}, ada.AccessToken)
			return err
		}
		if err := create("", ""); err != nil {
			t.Errorf("after a sign-in of just now: %v", err)
		}
		b.clock.forward(6 * time.Minute)
		refused(t, create("", ""), subjects.CodeForbidden)
		refused(t, create("not my password", codeAt(t, secret, b.Now())), subjects.CodeInvalid)
		refused(t, create(goodPassword, ""), subjects.CodeInvalid)
		if err := create(goodPassword, codeAt(t, secret, b.Now())); err != nil {
			t.Errorf("with both factors: %v", err)
		}
	})
}
