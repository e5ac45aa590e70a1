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

// A vendor's delivery goes over HTTP, byte by byte, into the event stream, once; what was tampered with goes nowhere.
func TestADeliveryOverHTTPIsToldOnce(t *testing.T) {
	t.Parallel()
	up := upProgram(t, t.TempDir(), "WEFT_METRICS_PORT=-1")
	up.args[slices.Index(up.args, "--http")+1] = freePort(t)
	weft := startProgram(t, up)
	shop := startProvider(t, nil)
	ada, adaID := signUp(t, weft.ready.HTTP)
	connection := shop.connect(t, ada, "shop")
	hook := ada.must(t, 201, "POST", "/v1/integrations/"+connection+"/hooks", `{"label":"orders"}`)
	secret, address := hook.text(".secret"), hook.text(".url")
	path, ours := strings.CutPrefix(address, weft.ready.HTTP)
	if !ours {
		t.Errorf("the hook's address is %s, and weft's %s", address, weft.ready.HTTP)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	vendor := newClient(weft.ready.HTTP)
	deliver := func(id, signed, sent string, at time.Time) answer {
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, stamp, signed)
		a, err := vendor.do(t.Context(), http.MethodPost, path, []byte(sent), "webhook-id: "+id, "webhook-timestamp: "+stamp,
			"webhook-signature: v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Content-Type: application/json", "Authorization: Bearer nobody's")
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
			t.Errorf("delivery %d is answered %s, want %d", i, a, c.status)
		}
	}
	if a := vendor.must(t, 404, "GET", path+"?challenge=x", nil); a.text(".code") != "not_found" {
		t.Errorf("a question is answered %s", a)
	}
	vendor.must(t, 404, "POST", "/v1/hooks/http/"+connection, `{}`)

	js, err := jetstream.New(asUser(t, weft, mesh.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	var told subjects.Envelope[subjects.WebhookDelivery]
	err = eventually(func() (bool, string) {
		m, err := stream.GetLastMsgForSubject(t.Context(), subjects.WebhookReceived.Subject)
		if err != nil {
			return false, err.Error()
		}
		return json.Unmarshal(m.Data, &told) == nil, string(m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	if told.Type != "http.order.paid" || told.UserID != adaID || told.Source != "/integrations/"+connection || told.Data.DeliveryID != "m1" {
		t.Errorf("told %+v", told)
	}
	shown := ada.must(t, 200, "GET", "/v1/integrations/"+connection+"/hooks", nil)
	if strings.Contains(string(shown.body), secret) || shown.text(".items[0].status") != "active" || shown.text(".items[0].received_at") == "" {
		t.Errorf("listed %s", shown)
	}
}
