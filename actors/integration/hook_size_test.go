package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestDeliveriesOfMarkupAreNotLarger: a delivery of the greatest size is accepted whatever its characters are; <, > and & take one byte
// each in the event, as in the delivery.
func TestDeliveriesOfMarkupAreNotLarger(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		c := b.connectTo(t, v, ada, "shop")
		h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
		for i, character := range []string{"&", "<", ">", "a"} {
			text := strings.Repeat(character, 760<<10)
			body := `{"type":"order.paid","text":"` + text + `"}`
			if d := b.deliver(t, standardDelivery(h, h.Secret, "msg_"+character, time.Now(), body)); d.Headers["Weft-Delivery"] != "accepted" {
				t.Fatalf("%s: the response is %+v", character, d.Headers)
			}
			events := b.wantPublished(t, i+1)
			if got := string(events[i].Data.Payload); got != body {
				t.Errorf("%s: the event has %d bytes, the delivery %d", character, len(got), len(body))
			}
		}
	})
}

// TestLargeMarkupIsCalledAndAnswered: inputs and outputs of a call may be as large with <, > and & as with other characters.
func TestLargeMarkupIsCalledAndAnswered(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<&>", 300<<10)
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	v.setHandler(respond(200, `"`+text+`"`))
	result := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "post", `{"path":"/x","body":"`+text+`"}`))
	if !strings.Contains(string(result.Output), text) {
		t.Error("the output does not have the text")
	}
	reply := call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{IntegrationID: c.ID, Method: "POST", Path: "/x", Body: []byte(`"` + text + `"`)})
	if string(reply.Body) != `"`+text+`"` {
		t.Errorf("the proxy answered %d bytes", len(reply.Body))
	}
	if seen := v.requests(); seen[len(seen)-1].body != `"`+text+`"` {
		t.Error("the provider did not receive the text as it was")
	}
}
