//go:build conformance

package e2e_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
)

// debian returns the path of a program, or fails with the package that has it.
func debian(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: scripts/conformance_tools.sh installs it, or apt-get install --no-install-recommends %s", program, pkg)
	}
	return path
}

// postfixServices are the services of a server that takes mail, relays it and returns what it cannot deliver.
const postfixServices = `127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000 0 flush
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
showq unix n - n - - showq
proxymap unix - - n - - proxymap
verify unix - - n - 1 verify
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfixSettings relay mail for remote.test to a sink. Mail that cannot be delivered at the first try is returned at once.
const postfixSettings = `compatibility_level = 3.6
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
queue_directory = DIR/spool
data_directory = DIR/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = DIR/mail.log
maillog_file_prefixes = DIR
myhostname = mx.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_host_lookup = native
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
recipient_delimiter = +
transport_maps = inline:{bounce@example.com=weft-bounce}, inline:{remote.test=smtp:[127.0.0.1]:SINK}
`

// startPostfix starts Postfix at a port, with the services for bounces as docs/mail.md describes them, until the test ends.
func startPostfix(t *testing.T, port string, sink *mailsink.Sink, gateway string) {
	t.Helper()
	postfix := debian(t, "postfix", "postfix")
	debian(t, "curl", "curl")
	if os.Geteuid() != 0 {
		t.Fatal("Postfix is started by root only: run this test as root, such as in a container")
	}
	dir, err := os.MkdirTemp("", "weft-postfix-") //nolint:usetesting // the users of Postfix cannot reach what is in a folder of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	header := filepath.Join(dir, "bounce.header")
	guide, err := os.ReadFile("../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	stanza := regexp.MustCompile("(?s)```\n(weft-bounce unix .*?)```").FindSubmatch(guide)
	for _, line := range []string{"recipient_delimiter = +", "transport_maps = inline:{bounce@example.com=weft-bounce}"} {
		if stanza == nil || !strings.Contains(string(guide), line) || !strings.Contains(postfixSettings, line) {
			t.Fatalf("docs/mail.md says no more how bounces are passed on: %s", line)
		}
	}
	pipe := strings.NewReplacer("https://weft.example.com", gateway, "/etc/weft/bounce.header", header).Replace(string(stanza[1]))
	values := strings.NewReplacer("DIR", dir, "SINK", fmt.Sprint(sink.Port), "PORT", port)
	for name, content := range map[string]string{
		"main.cf": values.Replace(postfixSettings), "master.cf": values.Replace(postfixServices) + pipe, "bounce.header": "Authorization: Bearer " + bounceSecret + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"spool", "data"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	if err := os.Chown(filepath.Join(dir, "data"), uid, -1); err != nil {
		t.Fatal(err)
	}
	run := func(command string) {
		if out, err := exec.Command(postfix, "-c", dir, command).CombinedOutput(); err != nil {
			t.Errorf("postfix %s: %v\n%s", command, err, out)
		}
	}
	run("start")
	t.Cleanup(func() {
		run("stop")
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "mail.log"))
			t.Logf("Postfix's log:\n%s", log)
		}
	})
}

// bounceSecret is the secret of the callback for bounces.
const bounceSecret = "0123456789abcdef"

// opendkim judges a message with OpenDKIM, which finds a record at a name in place of DNS, and returns what it says.
func opendkim(t *testing.T, raw []byte, name, record string) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"message": string(raw), "keys": name + " " + record + "\n", "conf": "Mode v\nTestPublicKeys " + filepath.Join(dir, "keys") + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	judge := exec.Command(debian(t, "opendkim", "opendkim"), "-x", filepath.Join(dir, "conf"), "-t", filepath.Join(dir, "message"))
	out, err := judge.CombinedOutput()
	return fmt.Sprintf("%s%v", out, err)
}

// TestMailThroughPostfix: mail that Postfix relays arrives with a signature that OpenDKIM accepts. What the next server refuses, Postfix returns
// to the envelope's sender, and by the set-up that docs/mail.md describes weft learns of it: the delivery fails with the server's words, and
// an address that does not exist gets no further mail.
func TestMailThroughPostfix(t *testing.T) {
	t.Parallel()
	sink, address := mailsink.Start(t), freePort(t)
	_, port, _ := strings.Cut(address, ":")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		t.Fatal(err)
	}
	weft := startWeft(t, t.TempDir(), "WEFT_NOTIFICATION_SMTP_HOST=127.0.0.1", "WEFT_NOTIFICATION_SMTP_PORT="+port, "WEFT_NOTIFICATION_SMTP_TLS=none",
		"WEFT_NOTIFICATION_SMTP_FROM=weft <weft@example.com>", "WEFT_NOTIFICATION_SMTP_BOUNCE_ADDRESS=bounce@example.com",
		"WEFT_NOTIFICATION_SMTP_BOUNCE_SECRET="+bounceSecret, "WEFT_NOTIFICATION_PUBLIC_URL=https://weft.example.com",
		"WEFT_NOTIFICATION_DKIM_DOMAIN=example.com", "WEFT_NOTIFICATION_DKIM_SELECTOR=weft",
		"WEFT_NOTIFICATION_DKIM_KEY_FILE="+keyFile)
	startPostfix(t, port, sink, weft.ready.HTTP)
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)

	for name, test := range map[string]struct {
		recipient, message error
		status, says       string
		suppressed         bool
	}{
		"accepted":          {status: "delivered"},
		"no such user":      {recipient: reply(550, 5, 1, 1, "No such user here"), status: "failed", says: "5.1.1", suppressed: true},
		"mailbox is full":   {message: reply(552, 5, 2, 2, "The mailbox is full"), status: "failed", says: "5.2.2"},
		"refused by policy": {message: reply(550, 5, 7, 26, "Unauthenticated mail is refused"), status: "failed", says: "5.7.26"},
		"given up":          {recipient: reply(451, 4, 3, 0, "Try again later"), status: "failed", says: "4.3.0"},
	} {
		email := uuid.NewString() + "@remote.test"
		c := newClient(weft.ready.HTTP)
		c.must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", map[string]any{"email": email, "password": password})
		token, _ := awaitMail(t, sink, email, "Verify your e-mail address").takeToken(t)
		c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": token})
		c.token = c.must(t, http.StatusOK, http.MethodPost, "/v1/auth/login", map[string]any{"email": email, "password": password}).text(".access_token")
		if test.recipient != nil {
			sink.RefuseRecipients(test.recipient)
		}
		if test.message != nil {
			sink.Refuse(test.message)
		}
		send := func() string {
			return c.must(t, http.StatusAccepted, http.MethodPost, "/v1/notifications", map[string]any{
				"category": "system", "channels": []string{"email"}, "subject": "Häuser & more: " + name, "body": "Zeile 1\n.\nLine 3",
			}).text(".notification_id")
		}
		id := send()
		var a answer
		err := eventually(func() (bool, string) {
			a = c.must(t, http.StatusOK, http.MethodGet, "/v1/notifications/"+id, nil)
			return a.text(".status") == test.status && a.text(".channels[0].attempts") == "1", a.String()
		})
		if err != nil || !strings.Contains(a.text(".channels[0].error"), test.says) {
			t.Errorf("%s: %v, %s", name, err, a)
		}
		if test.status == "delivered" {
			awaitMail(t, sink, email, "Häuser & more: "+name)
		}
		id = send()
		status := map[bool]string{true: "suppressed", false: "delivered"}[test.suppressed]
		err = eventually(func() (bool, string) {
			a = c.must(t, http.StatusOK, http.MethodGet, "/v1/notifications/"+id, nil)
			return a.text(".channels[0].status") == status, a.String()
		})
		if err != nil {
			t.Errorf("%s, the next: %v", name, err)
		}
	}
	mails := sink.Mails()
	for _, m := range mails {
		if said := opendkim(t, m.Raw, "weft._domainkey.example.com", record); !strings.Contains(said, "succeeded") || !strings.HasSuffix(said, "<nil>") {
			t.Errorf("OpenDKIM: %s\n%s", said, m.Raw)
		}
		if m.Header.Get("Received") == "" || !strings.HasPrefix(m.From, "bounce+") {
			t.Errorf("from %s, header %v", m.From, m.Header)
		}
	}
	forged := strings.Replace(string(mails[0].Raw), "From: ", "From: eve@example.com\r\nFrom: ", 1)
	if said := opendkim(t, []byte(forged), "weft._domainkey.example.com", record); strings.Contains(said, "succeeded") {
		t.Errorf("OpenDKIM on a message with two senders: %s", said)
	}
}

// reply is the reply of an SMTP server with an enhanced status.
func reply(code, class, subject, detail int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}
