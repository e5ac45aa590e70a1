package providers_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// mailNow is the time of the tests of mail.
var mailNow = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// mailAPI is a provider's API on this machine. It records the last request.
type mailAPI struct {
	*httptest.Server

	status   int
	header   map[string]string
	body     string
	requests []*http.Request
	bodies   []string
}

func newMailAPI(t *testing.T) *mailAPI {
	t.Helper()
	a := &mailAPI{status: http.StatusOK}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a.requests, a.bodies = append(a.requests, r), append(a.bodies, string(body))
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(a.Close)
	return a
}

func mailDeps(t *testing.T) providers.Deps {
	t.Helper()
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return providers.Deps{Client: client, Now: func() time.Time { return mailNow }}
}

// testMail is a message of a category that can be unsubscribed from.
func testMail() channel.Message {
	return channel.Message{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057.email", NotificationID: "01890a5d-ac96-774b-bcce-b302099a8057", Category: "workflow",
		Address: channel.Address{To: "ada@example.org"}, UnsubscribeURL: "https://weft.example.com/v1/unsubscribe/abc",
		Rendered: channel.Rendered{
			Subject: "Grüße ✓\r\nBcc: eve@example.com", Text: "Your order\nis on its way.\n.\nEnd",
			HTML: `<html><head><style>p { color: #123456 }</style></head><body><p>Your order is on its way.</p></body></html>`,
		},
	}
}
