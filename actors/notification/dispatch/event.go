package dispatch

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// The longest identifiers, in bytes.
const (
	maxID       = 128
	maxOrdering = 200
)

// check reports what makes an event unfit for delivery. A full stop in the id would make signatures ambiguous (Standard Webhooks,
// "Signature scheme").
func (e Event) check() error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '.' }
	switch {
	case e.ID == "" || len(e.ID) > maxID || strings.ContainsFunc(e.ID, bad):
		return fmt.Errorf("event id: want 1 to %d visible ASCII characters without a full stop", maxID)
	case e.UserID == "" || e.Type == "" || len(e.Type) > maxID:
		return fmt.Errorf("event: want a user and a type of at most %d bytes", maxID)
	case len(e.Ordering) > maxOrdering || strings.ContainsRune(e.Ordering, 0):
		return fmt.Errorf("event: want an ordering key of at most %d bytes", maxOrdering)
	case len(e.Payload) > MaxPayload:
		return &subjects.Error{Code: subjects.CodeInvalid, Detail: fmt.Sprintf("the payload of a webhook may have %d bytes", MaxPayload)}
	case !json.Valid(e.Payload):
		return fmt.Errorf("event payload: not JSON")
	}
	return nil
}
