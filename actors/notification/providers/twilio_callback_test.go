package providers_test

import (
	"net/url"
	"testing"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// TestVerifyTwilio has the examples of Twilio's documentation (Webhooks security) and of its libraries' tests.
func TestVerifyTwilio(t *testing.T) {
	t.Parallel()
	form := url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}
	const token, address = "12345", "https://mycompany.com/myapp.php?foo=1&bar=2"
	for _, c := range []struct {
		name, token, url, signature string
		form                        url.Values
		want                        bool
	}{
		{"example", token, address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, true},
		{"default port", token, "https://mycompany.com:443/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, true},
		{"signed with the port", token, address, "kvajT1Ptam85bY51eRf/AJRuM3w=", form, true},
		{"other port", token, "https://mycompany.com:8443/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, false},
		{"other token", "54321", address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, false},
		{"no token", "", address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, false},
		{"other query", token, address + "&x=1", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, false},
		{"other scheme", token, "http://mycompany.com/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, false},
		{"other field", token, address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", url.Values{"Digits": {"1235"}}, false},
		{"no signature", token, address, "", form, false},
		{"no base64", token, address, "?", form, false},
	} {
		if got := providers.VerifyTwilio(c.token, c.url, c.form, c.signature); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestTwilioCallback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, code string
		ok           bool
		want         providers.Report
	}{
		{"queued", "", false, providers.Report{}}, {"sent", "", false, providers.Report{}}, {"", "", false, providers.Report{}},
		{"delivered", "", true, providers.Report{MessageID: "SM1", Delivered: true}},
		{"undelivered", "30003", true, providers.Report{MessageID: "SM1", Class: channel.Permanent, Code: "30003"}},
		{"undelivered", "30005", true, providers.Report{MessageID: "SM1", Class: channel.Suppressed, Code: "30005"}},
		{"failed", "21610", true, providers.Report{MessageID: "SM1", Class: channel.Suppressed, Code: "21610"}},
		{"failed", "<script>", true, providers.Report{MessageID: "SM1", Class: channel.Permanent}},
	} {
		got, ok := providers.TwilioCallback(url.Values{"MessageSid": {"SM1"}, "MessageStatus": {c.status}, "ErrorCode": {c.code}})
		got.Detail = ""
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s %s: %+v, %v", c.status, c.code, got, ok)
		}
	}
	if _, ok := providers.TwilioCallback(url.Values{"MessageStatus": {"delivered"}}); ok {
		t.Error("a callback without a message is accepted")
	}
}
