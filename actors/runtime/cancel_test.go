package runtime

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestCancellations: a cancellation ends the request of its service, whichever of the two comes first, and no other one.
func TestCancellations(t *testing.T) {
	t.Parallel()
	d := subjects.ExecuteAction.Describe()
	for name, test := range map[string]struct {
		subject, id string
		early       bool
		ends        bool
	}{
		"during the request":        {d.ServiceSubject("workflow"), "1", false, true},
		"before the request":        {d.ServiceSubject("workflow"), "1", true, true},
		"of another service":        {d.ServiceSubject("notification"), "1", false, false},
		"of another request":        {d.ServiceSubject("workflow"), "2", true, false},
		"of a request without id":   {d.ServiceSubject("workflow"), "", false, false},
		"of a user with its id":     {d.Subject, "1", true, false},
		"of a request that is over": {d.ServiceSubject("workflow"), "over", false, false},
	} {
		c := newCancellations()
		ctx, cancel := context.WithCancel(t.Context())
		h := nats.Header{mesh.HeaderCallID: {test.id}}
		if test.early {
			c.cancel(callKey{"workflow", "1"})
		}
		done := c.track(d, test.subject, h, cancel)
		if test.id == "over" {
			done()
			c.cancel(callKey{"workflow", "over"})
		}
		c.cancel(callKey{"workflow", "1"})
		if ended := ctx.Err() != nil; ended != test.ends {
			t.Errorf("a cancellation %s: ended %v, want %v", name, ended, test.ends)
		}
		done()
		cancel()
		if len(c.running) > 0 {
			t.Errorf("a cancellation %s: %d requests are left", name, len(c.running))
		}
	}
}
