package providers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/subjects"
)

const (
	bounceSecret = "0123456789abcdef"
	bouncedID    = "01890a5d-ac96-774b-bcce-b302099a8057"
)

var testVERP = providers.VERP{Address: "bounce@example.com", Key: []byte("key")}

func testBounces() *providers.Bounces {
	return &providers.Bounces{Secret: bounceSecret, VERP: func(context.Context) (providers.VERP, error) { return testVERP, nil }}
}

func bearer(secret string) http.Header { return http.Header{"Authorization": {"Bearer " + secret}} }

// bouncedMail returns a sample, with the return path of the message in place of TOKEN.
func bouncedMail(t *testing.T, name, recipient string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "bounces", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.ReplaceAll(string(data), "bounce+TOKEN@example.com", testVERP.ReturnPath(bouncedID, recipient)))
}

// TestBounces: bounces as postfix, Exchange, Gmail, Exim and qmail write them are assigned to their notification and recipient.
func TestBounces(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		kind   string
		dead   bool
		detail string
	}{
		"postfix":           {"failed", true, "5.1.1 smtp"},
		"exchange":          {"failed", true, "5.1.10 "},
		"gmail":             {"failed", true, "5.1.1 "},
		"forwarded":         {"failed", true, "5.1.1 No such user"},
		"qmail":             {"failed", true, "5.1.1 "},
		"full_mailbox":      {"failed", false, "5.2.2 "},
		"policy":            {"failed", false, "5.7.26 "},
		"expired":           {"failed", false, "4.4.1 "},
		"complaint_arf":     {"complained", false, ""},
		"postfix_delivered": {"delivered", false, ""},
		"postfix_delayed":   {}, "vacation": {}, "answer": {},
	} {
		// Postfix pipes mail with LF, other servers with CRLF.
		mail := bouncedMail(t, name, "Ada@example.org")
		reports, err := testBounces().Receive(t.Context(), bearer(bounceSecret), mail)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		withCR, err := testBounces().Receive(t.Context(), bearer(bounceSecret), bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")))
		if err != nil || len(withCR) != len(reports) || len(reports) == 1 && (withCR[0].Kind != reports[0].Kind || withCR[0].Address != reports[0].Address) {
			t.Errorf("%s with CRLF: %+v, with LF: %+v, %v", name, withCR, reports, err)
		}
		if want.kind == "" {
			if len(reports) != 0 {
				t.Errorf("%s: %+v", name, reports)
			}
			continue
		}
		if len(reports) != 1 {
			t.Errorf("%s: %d reports", name, len(reports))
			continue
		}
		r := reports[0]
		if r.Kind != want.kind || r.Dead != want.dead || r.NotificationID != bouncedID || r.Address != "ada@example.org" || len(r.ID) != 64 ||
			strings.Contains(r.Detail, "ada@") || !r.Matches("ADA@example.org") || r.Matches("eve@example.org") {
			t.Errorf("%s: %+v", name, r)
		}
		if status, _, _ := strings.Cut(want.detail, " "); !strings.Contains(r.Detail, status) {
			t.Errorf("%s: detail %q", name, r.Detail)
		}
	}
}

// TestBounceRecipient: a bounce whose addresses are not the recipient's has no address, and the envelope's recipient may come in a header.
func TestBounceRecipient(t *testing.T) {
	t.Parallel()
	reports, err := testBounces().Receive(t.Context(), bearer(bounceSecret), bouncedMail(t, "postfix", "old@example.org"))
	if err != nil || len(reports) != 1 || reports[0].Address != "" || !reports[0].Matches("old@example.org") {
		t.Errorf("%+v, %v", reports, err)
	}
	anonymous := []byte(strings.ReplaceAll(string(bouncedMail(t, "full_mailbox", "ada@example.org")), testVERP.ReturnPath(bouncedID, "ada@example.org"), "bounce@example.com"))
	header := bearer(bounceSecret)
	if reports, err := testBounces().Receive(t.Context(), header, anonymous); err != nil || len(reports) != 0 {
		t.Errorf("without token: %+v, %v", reports, err)
	}
	header.Set("Weft-Recipient", strings.ToUpper(testVERP.ReturnPath(bouncedID, "ada@example.org")))
	if reports, err := testBounces().Receive(t.Context(), header, anonymous); err != nil || len(reports) != 1 || reports[0].NotificationID != bouncedID {
		t.Errorf("with the header: %+v, %v", reports, err)
	}
}

// TestBounceRefusals: only who has the secret may report, and a forged return path reports nothing.
func TestBounceRefusals(t *testing.T) {
	t.Parallel()
	mail := bouncedMail(t, "postfix", "ada@example.org")
	for name, header := range map[string]http.Header{
		"no secret": {}, "another secret": bearer(bounceSecret + "x"), "an empty secret": bearer(""), "basic": {"Authorization": {"Basic " + bounceSecret}},
	} {
		if _, err := testBounces().Receive(t.Context(), header, mail); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	unset := testBounces()
	unset.Secret = ""
	if _, err := unset.Receive(t.Context(), bearer(""), mail); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("without a secret in the settings: %v", err)
	}
	forged := strings.ReplaceAll(string(mail), testVERP.ReturnPath(bouncedID, "ada@example.org"),
		providers.VERP{Address: testVERP.Address, Key: []byte("another")}.ReturnPath(bouncedID, "ada@example.org"))
	if reports, err := testBounces().Receive(t.Context(), bearer(bounceSecret), []byte(forged)); err != nil || len(reports) != 0 {
		t.Errorf("forged: %+v, %v", reports, err)
	}
}

// TestReturnPaths: every return path fits into an envelope, and a change of one character of its token is noticed.
func TestReturnPaths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[a-z]{1,15}`).Draw(t, "local")
		id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}`).Draw(t, "id")
		v := providers.VERP{Address: local + "@example.com", Key: []byte(rapid.String().Draw(t, "key"))}
		b := &providers.Bounces{Secret: bounceSecret, VERP: func(context.Context) (providers.VERP, error) { return v, nil }}
		path := v.ReturnPath(id, "ada@example.org")
		if at := strings.IndexByte(path, '@'); at > 64 {
			t.Fatalf("%s has a local part of %d characters", path, at)
		}
		mail := "From: MAILER-DAEMON@x\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" +
			"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; ada@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
		receive := func(path string) []providers.Feedback {
			header := bearer(bounceSecret)
			header.Set(providers.HeaderRecipient, path)
			reports, err := b.Receive(context.Background(), header, []byte(mail))
			if err != nil {
				t.Fatal(err)
			}
			return reports
		}
		if got := receive(path); len(got) != 1 || got[0].NotificationID != id || got[0].Address != "ada@example.org" {
			t.Fatalf("%s: %+v", path, got)
		}
		i := len(local) + 1 + rapid.IntRange(0, 47).Draw(t, "position")
		changed := []byte(path)
		changed[i] = "0123456789abcdefghijklmnopqrstuv"[(strings.IndexByte("0123456789abcdefghijklmnopqrstuv", changed[i])+1+rapid.IntRange(0, 30).Draw(t, "shift"))%32]
		if got := receive(string(changed)); len(got) != 0 {
			t.Fatalf("%s instead of %s: %+v", changed, path, got)
		}
	})
}

// TestNestedBounce: the time for a mail that anybody may have sent does not grow with the depth of its parts, and what is too deep is ignored.
func TestNestedBounce(t *testing.T) {
	t.Parallel()
	nested := func(depth int, end string) []byte {
		var mail strings.Builder
		mail.WriteString("From: MAILER-DAEMON@x\r\nContent-Type: multipart/report; boundary=b0\r\n\r\n")
		for i := range depth {
			fmt.Fprintf(&mail, "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
		}
		fmt.Fprintf(&mail, "--b%d\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; ada@example.org\r\n"+
			"Action: failed\r\nStatus: 5.1.1\r\n\r\n%s", depth, end)
		return []byte(mail.String())
	}
	for _, end := range []string{"", "--b2--\r\n--b1--\r\n--b0--\r\n"} {
		if b, err := providers.ParseBounce(nested(2, end)); err != nil || len(b.Recipients) != 1 || b.Recipients[0].Final != "ada@example.org" {
			t.Errorf("%q: %+v, %v", end, b, err)
		}
	}
	begin := time.Now()
	if b, err := providers.ParseBounce(nested(5000, strings.Repeat("x\r\n", 100_000))); err == nil {
		t.Errorf("%+v", b)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzParseBounce: no mail makes the parser panic.
func FuzzParseBounce(f *testing.F) {
	files, err := filepath.Glob("testdata/bounces/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = providers.ParseBounce(data)
	})
}
