package auth_test

import (
	"fmt"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestProfilePrecondition: of 50 concurrent changes with the same If-Match one succeeds, version after version; what an admin changes counts,
// a change of nothing does not.
func TestProfilePrecondition(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		token := session.AccessToken
		before := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, token)
		if before.Version < 1 || session.User.Version != before.Version {
			t.Fatalf("the version is %d, at sign-in %d", before.Version, session.User.Version)
		}
		for round := range 3 {
			version := before.Version + int64(round)
			outcomes := concurrently(50, func(i int) error {
				changed, err := call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{
					FirstName:    subjects.Some(fmt.Sprintf("Ada %d %d", round, i)),
					Precondition: subjects.Precondition{IfMatch: fmt.Sprintf(`"%d"`, version)},
				}, token)
				if err == nil && changed.Version != version+1 {
					return fmt.Errorf("the change answers with version %d", changed.Version)
				}
				return err
			})
			won := 0
			for _, err := range outcomes {
				if err == nil {
					won++
				} else if subjects.CodeOf(err) != subjects.CodePreconditionFailed {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if now := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, token); won != 1 || now.Version != version+1 {
				t.Errorf("round %d: %d of 50 writers succeeded, and the version is %d, not %d", round, won, now.Version, version+1)
			}
		}
		same := mustCall(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{
			LastName: subjects.Some("Lovelace"), Precondition: subjects.Precondition{IfMatch: "*"},
		}, token)
		if same.Version != before.Version+3 {
			t.Errorf("a change of nothing makes version %d", same.Version)
		}
		_, err := call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{Precondition: subjects.Precondition{IfMatch: "3"}}, token)
		if e := requireCode(t, err, subjects.CodeInvalid); len(e.Fields) != 1 || e.Fields[0].Field != "if_match" {
			t.Errorf("fields %+v", e.Fields)
		}
	})
}
