package subjects_test

import (
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestByteOrderMark: a byte order mark before a message is ignored (RFC 8259 §8.1).
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	r, err := subjects.Login.Decode([]byte("\xef\xbb\xbf" + `{"email":"ada@example.com","password":"secret-password"}`))
	if err != nil || r.Email != "ada@example.com" {
		t.Errorf("got %+v, %v", r, err)
	}
}
