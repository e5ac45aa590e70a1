package auth_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestPasswordIsUsedAsGiven: a password is used without truncation, trimming and case folding (ASVS 6.2.8). Only its code points are
// normalised, see TestPasswordsAreNormalised.
func TestPasswordIsUsedAsGiven(t *testing.T) {
	b := onSQLite(t)
	password := " Ünicode \tand spaces, then " + strings.Repeat("more than bcrypt takes ", 5) + "End "
	mustCall(b, subjects.Register, subjects.RegisterRequest{Email: "ada@example.com", Password: password}, "")
	for _, other := range []string{
		strings.TrimSpace(password), password + " ", strings.ToLower(password), password[:72], password[:len(password)-1] + "x",
		strings.Replace(password, "Ü", "U", 1), password + "\x00",
	} {
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: other}, "")
		if subjects.CodeOf(err) == "" {
			t.Errorf("%q signs in", other)
		}
		mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: password}, "") // resets the failures
	}
}
