package auth_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestAPasswordIsTakenExactlyAsGiven: no byte is cut off, trimmed, folded or normalised (ASVS 6.2.8).
func TestAPasswordIsTakenExactlyAsGiven(t *testing.T) {
	b := once(t)
	password := " Ünicode \tand spaces, then " + strings.Repeat("more than bcrypt takes ", 5) + "End "
	must(b, subjects.Register, subjects.RegisterRequest{Email: "ada@example.com", Password: password}, "")
	for _, other := range []string{
		strings.TrimSpace(password), password + " ", strings.ToLower(password), password[:72], password[:len(password)-1] + "x",
		strings.Replace(password, "Ü", "U\u0308", 1), password + "\x00",
	} {
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: other}, "")
		if subjects.CodeOf(err) == "" {
			t.Errorf("%q signs in", other)
		}
		must(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: password}, "") // which forgives the failure
	}
}
