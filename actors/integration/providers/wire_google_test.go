package providers_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// withToken returns a connection to a local server.
func withToken(address string) manifest.Connection {
	return manifest.Connection{BaseURL: address, Credentials: map[string]any{"token": "token-0123456789"}}
}

// sentMail returns the message that the server received. It checks the lines of the message (RFC 5322, section 2.1.1).
func sentMail(t *testing.T, last *received) *mail.Message {
	t.Helper()
	var body struct{ Raw string }
	if err := json.Unmarshal([]byte(last.body), &body); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.URLEncoding.DecodeString(body.Raw)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(string(raw), "\r\n", "\x00"), "\x00") {
		if strings.ContainsAny(line, "\r\n") || len(line) > 998 {
			t.Errorf("invalid line in the message: %.80q", line)
		}
	}
	message, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func decoded(t *testing.T, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, r))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestGmailMessage(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 200, `{"id":"1","threadId":"2","labelIds":["SENT"],"x":1}`)
	subject := "Grüße 👋 aus Köln, und eine Betreffzeile, die länger ist als eine Zeile sein darf\r\nBcc: eve@example.com"
	long := strings.Repeat("Zeile ✓ mit Text >>> ??? ", 1500) + "\r\n---=-\r\n.\r\n"
	output, failed := call(t, "gmail", "send_email", withToken(address), map[string]any{
		"to": []any{"grace@example.com", "ada+x@example.com"}, "cc": []any{"alan@example.com"},
		"subject": subject, "text": long, "html": "<p>é</p>", "threadId": "2", "inReplyTo": "<a.b@example.com>",
	})
	if failed != nil || asJSON(t, output) != `{"id":"1","labelIds":["SENT"],"threadId":"2"}` {
		t.Fatalf("got %v, %v", output, failed)
	}
	message := sentMail(t, last)
	to, err := message.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Address != "ada+x@example.com" {
		t.Errorf("to %v, %v", to, err)
	}
	got, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil || got != subject || message.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, bcc %q, %v", got, message.Header.Get("Bcc"), err)
	}
	if message.Header.Get("In-Reply-To") != "<a.b@example.com>" || message.Header.Get("References") != "<a.b@example.com>" || !strings.Contains(last.body, `"threadId":"2"`) {
		t.Errorf("header %v", message.Header)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	reader := multipart.NewReader(message.Body, parameters["boundary"])
	for _, want := range []struct{ kind, text string }{{"text/plain; charset=utf-8", long}, {"text/html; charset=utf-8", "<p>é</p>"}} {
		part, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if part.Header.Get("Content-Type") != want.kind || decoded(t, part) != want.text {
			t.Errorf("the part of type %s differs", want.kind)
		}
	}
	if _, err := reader.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

func TestGmailMessageOfOnePart(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 200, `{"id":"1"}`)
	for field, kind := range map[string]string{"text": "text/plain; charset=utf-8", "html": "text/html; charset=utf-8"} {
		if _, failed := call(t, "gmail", "send_email", withToken(address), map[string]any{"to": []any{"g@example.com"}, field: "Hi"}); failed != nil {
			t.Fatal(failed)
		}
		message := sentMail(t, last)
		if message.Header.Get("Content-Type") != kind || decoded(t, message.Body) != "Hi" || message.Header.Get("Subject") != "" {
			t.Errorf("%s: header %v", field, message.Header)
		}
	}
}

func TestGmailLongestMessage(t *testing.T) {
	t.Parallel()
	address, _ := serve(t, 200, `{"id":"1"}`)
	body := strings.Repeat("\U0001F642", 50000)
	_, failed := call(t, "gmail", "send_email", withToken(address), map[string]any{"to": []any{"g@example.com"}, "text": body, "html": body})
	if failed != nil {
		t.Error(failed)
	}
}

// TestGmailHeaderInjection: addresses and message ids that would add a header or another address are invalid.
func TestGmailHeaderInjection(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := loaded["gmail"].Action("send_email")
	for _, c := range []map[string]any{
		{"to": []any{"g@example.com\r\nBcc: eve@example.com"}},
		{"to": []any{"g@example.com\n"}},
		{"to": []any{"g@example.com, eve@example.com"}},
		{"to": []any{"Grace <g@example.com>"}},
		{"to": []any{"g@example.com"}, "cc": []any{"\re@example.com"}},
		{"to": []any{"g@example.com"}, "inReplyTo": "<a@b>\r\nBcc: eve@example.com"},
		{"to": []any{"g@example.com"}, "inReplyTo": "<a@b>\n"},
	} {
		c["text"] = "Hi"
		if a.ValidateInput(c) == nil {
			t.Errorf("%v is valid", c)
		}
	}
}

func TestGoogleErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   manifest.CallError
	}{
		{401, `{"error":{"code":401,"message":"Invalid Credentials","status":"UNAUTHENTICATED","errors":[{"reason":"authError"}]}}`,
			manifest.CallError{Class: manifest.ClassAuth, Expired: true, Code: "authError", Message: "Invalid Credentials"}},
		{403, `{"error":{"code":403,"message":"Rate Limit Exceeded","errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}]}}`,
			manifest.CallError{Class: manifest.ClassLimited, Code: "rateLimitExceeded", Message: "Rate Limit Exceeded"}},
		{403, `{"error":{"code":403,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x","reason":"RATE_LIMIT_EXCEEDED"}]}}`,
			manifest.CallError{Class: manifest.ClassLimited, Code: "RATE_LIMIT_EXCEEDED", Message: "Quota"}},
		{429, `{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}`,
			manifest.CallError{Class: manifest.ClassLimited, Code: "RESOURCE_EXHAUSTED", Message: "Quota exceeded"}},
		{403, `{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED","details":[{"reason":"ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}`,
			manifest.CallError{Class: manifest.ClassAuth, Code: "ACCESS_TOKEN_SCOPE_INSUFFICIENT", Message: "Request had insufficient authentication scopes."}},
		{400, `{"error":"invalid_request"}`, manifest.CallError{Class: manifest.ClassInvalid, Message: "invalid_request"}},
		{503, `[]`, manifest.CallError{Class: manifest.ClassUnavailable}},
		{502, `<html>`, manifest.CallError{Class: manifest.ClassUnavailable, Message: "<html>"}},
	} {
		c.want.Status = c.status
		for _, provider := range googleProviders {
			// The probe of Google Sheets succeeds with 400.
			if provider == "google_sheets" && c.status == 400 {
				continue
			}
			address, _ := serve(t, c.status, c.body)
			if _, failed := call(t, provider, "", withToken(address), nil); failed == nil || *failed != c.want {
				t.Errorf("%s, %s: got %+v", provider, c.body, failed)
			}
		}
	}
}

var googleProviders = []string{"gmail", "google_analytics", "google_calendar", "google_drive", "google_sheets"}

func TestGoogleAnalyticsRows(t *testing.T) {
	t.Parallel()
	address, _ := serve(t, 200, `{"dimensionHeaders":[{"name":"country"}],"metricHeaders":[{"name":"activeUsers"},{"name":"sessions"}],
		"rows":[{"dimensionValues":[{"value":"DE"}],"metricValues":[{"value":"7"},{"value":"9"}]}],"rowCount":1}`)
	input := map[string]any{"propertyId": "1", "metrics": []any{"activeUsers", "sessions"}, "dimensions": []any{"country"}}
	output, failed := call(t, "google_analytics", "run_realtime_report", withToken(address), input)
	if failed != nil || asJSON(t, output) != `{"propertyQuota":null,"rowCount":1,"rows":[{"activeUsers":"7","country":"DE","sessions":"9"}],"totals":null}` {
		t.Errorf("got %v, %v", asJSON(t, output), failed)
	}
	address, _ = serve(t, 200, `{"rowCount":0}`)
	if output, failed = call(t, "google_analytics", "run_realtime_report", withToken(address), input); failed != nil || !strings.Contains(asJSON(t, output), `"rows":[]`) {
		t.Errorf("got %v, %v", asJSON(t, output), failed)
	}
}

func TestGoogleSheetsPathsAndProbe(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 200, `{"range":"A"}`)
	output, failed := call(t, "google_sheets", "read_range", withToken(address), map[string]any{"spreadsheetId": "s/1", "range": "My 'Sheet'!A1:B/2"})
	if failed != nil || asJSON(t, output) != `{"range":"A","values":[]}` || last.path != "/v4/spreadsheets/s%2F1/values/My%20%27Sheet%27%21A1:B%2F2" {
		t.Errorf("got %v, %v of %s", output, failed, last.path)
	}
	address, _ = serve(t, 404, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`)
	if _, failed = call(t, "google_sheets", "", withToken(address), nil); failed != nil {
		t.Errorf("probe: %v", failed)
	}
}

func TestGoogleDriveQuotaExceeded(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 403, `{"error":{"code":403,"message":"Full","errors":[{"reason":"storageQuotaExceeded"}]}}`)
	_, failed := call(t, "google_drive", "create_folder", withToken(address), map[string]any{"name": "R", "parent": "p"})
	if failed == nil || failed.Class != manifest.ClassConflict || last.body != `{"mimeType":"application/vnd.google-apps.folder","name":"R","parents":["p"]}` {
		t.Errorf("got %v, Drive received %+v", failed, last)
	}
}
