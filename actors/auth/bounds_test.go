package auth_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// TestAPIKeysOfAUserAreBounded creates keys in parallel: as many as the setting allows; the others are refused by its name.
func TestAPIKeysOfAUserAreBounded(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		ada := b.signUp("ada@example.com")
		create := func(name string) error {
			_, err := call(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: name, Scopes: []string{subjects.ScopeUserProfileRead}}, ada.AccessToken)
			return err
		}
		var group sync.WaitGroup
		errs := make(chan error, 8)
		for n := range cap(errs) {
			group.Go(func() { errs <- create(strconv.Itoa(n)) })
		}
		group.Wait()
		close(errs)
		refused := 0
		for err := range errs {
			var coded *subjects.Error
			switch {
			case err == nil:
			case errors.As(err, &coded) && coded.Code == subjects.CodeRateLimited && coded.Reason == subjects.ReasonLimitReached &&
				strings.Contains(coded.Detail, "(auth.api_keys_per_user)"):
				refused++
			default:
				t.Error(err)
			}
		}
		list := mustCall(b, subjects.ListAPIKeys, subjects.ListAPIKeysRequest{}, ada.AccessToken).Items
		if len(list) != 3 || refused != 5 {
			t.Fatalf("%d keys, %d refusals, want 3 and 5", len(list), refused)
		}
		used := map[string]int64{}
		for _, l := range mustCall(b, subjects.GetAuthLimits, subjects.Empty{}, ada.AccessToken).Items {
			if l.Used != nil {
				used[l.Name] = *l.Used
			}
		}
		if used["auth.api_keys_per_user"] != 3 || used["auth.sessions_per_user"] != 1 || used["auth.passkeys_per_user"] != 0 {
			t.Errorf("the limits say %v", used)
		}
		mustCall(b, subjects.RevokeAPIKey, subjects.RevokeAPIKeyRequest{KeyID: list[0].ID}, ada.AccessToken)
		if err := create("again"); err != nil {
			t.Errorf("after a revocation: %v", err)
		}
	}, func(c *auth.Config) { c.APIKeysPerUser = 3 })
}
