package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestWebhookDeliveryBecomesOneEvent checks that a provider's signed delivery is published as an event once, and that deliveries
// with a wrong signature or timestamp are rejected.
func TestWebhookDeliveryBecomesOneEvent(t *testing.T) {
	t.Parallel()
	up := upProgram(t, t.TempDir(), "WEFT_METRICS_PORT=-1")
	up.args[slices.Index(up.args, "--http")+1] = freePort(t)
	weft := startProgram(t, up)
	shop := startStubProvider(t, nil)
	ada, adaID := signUp(t, weft.ready.HTTP)
	connection := shop.connect(t, ada, "shop")
	hook := ada.must(t, 201, "POST", "/v1/integrations/"+connection+"/hooks", `{"label":"orders"}`)
	secret, address := hook.text(".secret"), hook.text(".url")
	path, found := strings.CutPrefix(address, weft.ready.HTTP)
	if !found {
		t.Errorf("the hook's URL is %s, and weft's %s", address, weft.ready.HTTP)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	sender := newClient(weft.ready.HTTP)
	deliver := func(id, signed, sent string, at time.Time) answer {
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, stamp, signed)
		a, err := sender.do(t.Context(), http.MethodPost, path, []byte(sent), "webhook-id: "+id, "webhook-timestamp: "+stamp,
			"webhook-signature: v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Content-Type: application/json", "Authorization: Bearer invalid")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const body = "{\"type\": \"order.paid\",\r\n \"note\": \"\u00e9\\u00e9\", \"n\": 0.10}"
	for i, c := range []struct {
		signed, sent string
		at           time.Time
		id           string
		status       int
	}{
		{body, body, time.Now(), "m1", 200},
		{body, body, time.Now(), "m1", 200},
		{body, strings.Replace(body, "paid", "qaid", 1), time.Now(), "m2", 401},
		{body, body, time.Now().Add(-time.Hour), "m3", 401},
		{body, body + " ", time.Now(), "m4", 401},
	} {
		if a := deliver(c.id, c.signed, c.sent, c.at); a.status != c.status || a.status == 200 && len(a.body) != 0 {
			t.Errorf("delivery %d: got %s, want %d", i, a, c.status)
		}
	}
	if a := sender.must(t, 404, "GET", path+"?challenge=x", nil); a.text(".code") != "not_found" {
		t.Errorf("a challenge: %s", a)
	}
	sender.must(t, 404, "POST", "/v1/hooks/http/"+connection, `{}`)

	js, err := jetstream.New(connectAs(t, weft, mesh.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	var event subjects.Envelope[subjects.WebhookDelivery]
	err = eventually(func() (bool, string) {
		m, err := stream.GetLastMsgForSubject(t.Context(), subjects.WebhookReceived.Subject)
		if err != nil {
			return false, err.Error()
		}
		return json.Unmarshal(m.Data, &event) == nil, string(m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	if event.Type != "http.order.paid" || event.UserID != adaID || event.Source != "/integrations/"+connection || event.Data.DeliveryID != "m1" {
		t.Errorf("the event is %+v", event)
	}
	listed := ada.must(t, 200, "GET", "/v1/integrations/"+connection+"/hooks", nil)
	if strings.Contains(string(listed.body), secret) || listed.text(".items[0].status") != "active" || listed.text(".items[0].received_at") == "" {
		t.Errorf("the hooks are %s", listed)
	}
}
