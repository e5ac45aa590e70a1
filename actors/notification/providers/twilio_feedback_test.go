package providers_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/subjects"
)

// TestReceiveTwilio: a signed status callback is a report with an id of its own for each outcome; an unsigned one is none.
func TestReceiveTwilio(t *testing.T) {
	t.Parallel()
	const url = "https://weft.example.com/v1/callbacks/twilio"
	sign := func(text string) http.Header {
		h := hmac.New(sha1.New, []byte("token"))
		h.Write([]byte(url + text))
		return http.Header{"X-Twilio-Signature": {base64.StdEncoding.EncodeToString(h.Sum(nil))}}
	}
	for body, want := range map[string]struct {
		text   string
		report providers.Feedback
	}{
		"MessageSid=SM1&MessageStatus=delivered": {"MessageSidSM1MessageStatusdelivered", providers.Feedback{ID: "SM1.delivered", Kind: "delivered", MessageID: "SM1"}},
		"ErrorCode=30005&MessageSid=SM1&MessageStatus=undelivered": {"ErrorCode30005MessageSidSM1MessageStatusundelivered", providers.Feedback{
			ID: "SM1.failed", Kind: "failed", MessageID: "SM1", Dead: true, Detail: "the number does not exist or cannot receive SMS (30005)",
		}},
		"MessageSid=SM1&MessageStatus=sent": {"MessageSidSM1MessageStatussent", providers.Feedback{}},
	} {
		reports, err := providers.ReceiveTwilio("token", url, sign(want.text), []byte(body))
		if err != nil || len(reports) > 1 || len(reports) == 0 && want.report.Kind != "" {
			t.Errorf("%s: %+v, %v", body, reports, err)
			continue
		}
		if len(reports) == 1 && (reports[0].ID != want.report.ID || reports[0].Kind != want.report.Kind || reports[0].MessageID != "SM1" ||
			reports[0].Dead != want.report.Dead || reports[0].Detail != want.report.Detail || reports[0].Address != "") {
			t.Errorf("%s: %+v", body, reports[0])
		}
		if _, err := providers.ReceiveTwilio("token", url, sign("x"), []byte(body)); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s, unsigned: %v", body, err)
		}
	}
}
