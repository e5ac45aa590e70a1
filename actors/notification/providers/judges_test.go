//go:build conformance

package providers_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// judge is a folder with npm's mailauth, sns-validator, aws4 and @sendgrid/eventwebhook, which it fetches.
type judge struct{ dir string }

func newJudge(t *testing.T) judge {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "judge.js"} {
		data, err := os.ReadFile(filepath.Join("testdata", "judges", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, output)
	}
	return judge{dir}
}

func (j judge) ask(t *testing.T, task map[string]any) string {
	t.Helper()
	input, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "judge.js")
	node.Dir, node.Stdin, node.Stderr = j.dir, bytes.NewReader(input), os.Stderr
	output, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// TestForeignJudges: other people's libraries accept what weft signs, and accept the messages that the tests of weft's verification sign.
func TestForeignJudges(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	for algorithm, key := range dkimKeys(t) {
		sink := mailsink.Start(t)
		if _, err := newSMTP(t, sink, providers.SMTPOptions{DKIM: key}).Send(t.Context(), testMail()); err != nil {
			t.Fatal(err)
		}
		record, err := key.Record()
		if err != nil {
			t.Fatal(err)
		}
		verdict := j.ask(t, map[string]any{
			"judge": "dkim", "message": base64.StdEncoding.EncodeToString(sink.Mails()[0].Raw), "records": map[string]string{"weft._domainkey.example.com": record},
		})
		if verdict != "pass "+algorithm+" example.com" {
			t.Errorf("mailauth on %s: %s", algorithm, verdict)
		}
	}

	a := newAmazon(t, "sns.amazonaws.com", mailNow.AddDate(1, 0, 0))
	for _, version := range []string{"1", "2"} {
		for name, m := range map[string]map[string]string{"a notification": notification("{}"), "a subscription": subscription()} {
			m["SignatureVersion"] = version
			var message map[string]any
			if err := json.Unmarshal(a.sign(t, m), &message); err != nil {
				t.Fatal(err)
			}
			if verdict := j.ask(t, map[string]any{"judge": "sns", "message": message, "certificate": string(a.files[testCert])}); verdict != "ok" {
				t.Errorf("sns-validator on %s of version %s: %s", name, version, verdict)
			}
		}
	}

	account := newSendGridAccount(t, elliptic.P256())
	header := account.sign(t, mailNow, `[{"email":"ada@example.org"}]`)
	verdict := j.ask(t, map[string]any{
		"judge": "sendgrid", "key": account.public, "body": `[{"email":"ada@example.org"}]`,
		"signature": header.Get("X-Twilio-Email-Event-Webhook-Signature"), "timestamp": header.Get("X-Twilio-Email-Event-Webhook-Timestamp"),
	})
	if verdict != "ok" {
		t.Errorf("@sendgrid/eventwebhook: %s", verdict)
	}

	api := newMailAPI(t)
	api.body = `{"MessageId":"1"}`
	if _, err := newSES(t, api).Send(t.Context(), testMail()); err != nil {
		t.Fatal(err)
	}
	r := api.requests[0]
	if signed := j.ask(t, map[string]any{
		"judge": "aws4", "url": api.URL + r.URL.Path, "body": api.bodies[0], "date": r.Header.Get("X-Amz-Date"), "region": "eu-central-1",
		"id": "AKIDEXAMPLE", "secret": "secretcanary",
	}); signed != r.Header.Get("Authorization") {
		t.Errorf("aws4 signs %s, weft %s", signed, r.Header.Get("Authorization"))
	}
}
