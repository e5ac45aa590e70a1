package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
)

// TestDoctorMail: the command prints what it has found for people or as JSON, sends a message if it is asked to, and its exit code says
// whether a check has failed.
func TestDoctorMail(t *testing.T) {
	sink := mailsink.Start(t)
	file := filepath.Join(t.TempDir(), "weft.yaml")
	settings := "notification:\n  smtp: {host: 127.0.0.1, tls: none, from: weft@example.com, port: " + strconv.Itoa(sink.Port) + "}\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (code int, out, errs string) {
		var stdout, stderr bytes.Buffer
		root := rootCommand()
		root.SetOut(&stdout)
		root.SetErr(&stderr)
		code = execute(t.Context(), root, append([]string{"--config", file, "doctor", "mail"}, args...))
		return code, stdout.String(), stderr.String()
	}
	// Nothing answers at the DNS server's address: those checks fail.
	const noDNS = "127.0.0.1:1"
	code, out, errs := run("--dns", noDNS, "--to", "me@example.org", "--json")
	var reports []mailcheck.Report
	if err := json.Unmarshal([]byte(out), &reports); err != nil || len(reports) != 1 || code != exitFailure || !strings.Contains(errs, "weft@example.com") {
		t.Fatalf("exit code %d, %s, %s, %v", code, out, errs, err)
	}
	status := map[string]string{}
	for _, f := range reports[0].Findings {
		status[f.Check] = f.Status
	}
	if status["sender"] != mailcheck.OK || status["spf"] != mailcheck.Failed || status["server"] != mailcheck.OK || status["test message"] != mailcheck.OK {
		t.Errorf("findings %v", status)
	}
	if mails := sink.Mails(); len(mails) != 1 || mails[0].To[0] != "me@example.org" {
		t.Errorf("mails %+v", mails)
	}
	code, out, _ = run("--dns", noDNS)
	if code != exitFailure || !strings.Contains(out, "failed   spf") || !strings.Contains(out, "C: EHLO localhost") || len(sink.Mails()) != 1 {
		t.Errorf("exit code %d, %s, %d mails", code, out, len(sink.Mails()))
	}
	if code, _, errs = run("--dns", "nonsense"); code != exitUsage || !strings.Contains(errs, "host:port") {
		t.Errorf("a DNS server without port: exit code %d, %s", code, errs)
	}
	if code, _, _ = run("one"); code != exitUsage {
		t.Errorf("an argument: exit code %d", code)
	}
	t.Setenv("WEFT_NOTIFICATION_DKIM_DOMAIN", "example.net")
	if code, _, errs = run("--dns", noDNS); code != exitUsage || !strings.Contains(errs, "notification.dkim.selector") {
		t.Errorf("invalid settings: exit code %d, %s", code, errs)
	}
}
