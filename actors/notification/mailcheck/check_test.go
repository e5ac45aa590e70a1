package mailcheck_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// zone has the records of a DNS server on this machine: TXT by name, MX by name, A by name.
type zone struct {
	txt map[string][]string
	mx  map[string]string
	a   map[string][4]byte
}

// resolver serves the zone by UDP and returns a resolver that asks it.
func (z zone) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := z.answer(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}, Body: body})
	}
	switch q.Type {
	case dnsmessage.TypeTXT:
		for _, text := range z.txt[name] {
			var parts []string
			for len(text) > 255 {
				parts, text = append(parts, text[:255]), text[255:]
			}
			add(&dnsmessage.TXTResource{TXT: append(parts, text)})
		}
	case dnsmessage.TypeMX:
		if host := z.mx[name]; host != "" {
			add(&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(host)})
		}
	case dnsmessage.TypeA:
		if a, ok := z.a[name]; ok {
			add(&dnsmessage.AResource{A: a})
		}
	}
	if len(m.Answers) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	return m.Pack()
}

// server is a mail server with STARTTLS and sign-in.
type server struct {
	port     int
	roots    *x509.CertPool
	password string
	received chan string
}

func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{s}, nil }

type session struct{ server *server }

func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "weft" || password != s.server.password {
			return errors.New("wrong")
		}
		return nil
	}), nil
}
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (*session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	s.server.received <- string(data)
	return err
}
func (*session) Reset()        {}
func (*session) Logout() error { return nil }

func startServer(t *testing.T) *server {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, of example.com and 127.0.0.1
	t.Cleanup(web.Close)
	s := &server{roots: x509.NewCertPool(), password: "secretcanary", received: make(chan string, 10)}
	s.roots.AddCert(web.Certificate())
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	own := smtp.NewServer(s)
	own.Domain, own.TLSConfig = "mail.example.com", web.TLS
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = own.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = own.Close()
		<-done
	})
	return s
}

// signingKeys are two keys, made once.
var signingKeys = sync.OnceValues(func() (keys [2]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newDKIM(t *testing.T, which int) *providers.DKIM {
	t.Helper()
	keys, err := signingKeys()
	if err != nil {
		t.Fatal(err)
	}
	key := keys[which]
	d, err := providers.ParseDKIM("example.com", "weft", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// options are those of a correct set-up at a zone of its own.
func options(t *testing.T, s *server) (mailcheck.Options, zone) {
	t.Helper()
	d := newDKIM(t, 0)
	record, err := d.Record()
	if err != nil {
		t.Fatal(err)
	}
	z := zone{
		txt: map[string][]string{
			"example.com":                 {"google-site-verification=x", "v=spf1 a:mail.example.com -all"},
			"weft._domainkey.example.com": {record}, "_dmarc.example.com": {"v=DMARC1; p=reject; rua=mailto:dmarc@example.com"},
		},
		mx: map[string]string{"example.com": "mx.example.com."}, a: map[string][4]byte{"mail.example.com": {192, 0, 2, 10}, "mx.example.com": {192, 0, 2, 11}},
	}
	return mailcheck.Options{
		From: "weft <weft@example.com>", DKIM: d, TLS: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}, Now: time.Now,
		ID: "01890a5d-ac96-774b-bcce-b302099a8057",
		SMTP: providers.SMTPConfig{
			Host: "127.0.0.1", Port: s.port, TLS: providers.TLSStart, Username: "weft", Password: "secretcanary", Timeout: 5 * time.Second,
			From: "weft <weft@example.com>", BounceAddress: "bounce@example.com", BounceSecret: "0123456789abcdef",
		},
	}, z
}

func run(t *testing.T, o mailcheck.Options, z zone) *mailcheck.Report {
	t.Helper()
	p, err := providers.NewSMTP(providers.SMTPOptions{DKIM: o.DKIM, Now: o.Now}, o.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	if o.Provider == nil {
		o.Provider = p
	}
	o.Resolver = z.resolver(t)
	return mailcheck.Run(t.Context(), o)
}

func finding(t *testing.T, r *mailcheck.Report, check string) mailcheck.Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f mailcheck.Finding) bool { return f.Check == check })
	if i < 0 {
		t.Errorf("no finding %s: %+v", check, r.Findings)
		return mailcheck.Finding{}
	}
	return r.Findings[i]
}

// TestCorrectSetUp: nothing fails, the dialogue has the server's answers and no credentials.
func TestCorrectSetUp(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	o, z := options(t, s)
	r := run(t, o, z)
	for _, f := range r.Findings {
		if f.Status != mailcheck.OK && f.Check != "test message" {
			t.Errorf("%+v", f)
		}
	}
	if r.Failed() || r.Domain != "example.com" || r.Provider != "smtp" {
		t.Errorf("%+v", r)
	}
	text := strings.Join(r.Dialogue, "\n")
	for _, want := range []string{"S: 220 mail.example.com", "C: EHLO localhost", "S: 220 ", "C: STARTTLS", "C: AUTH PLAIN ***", "S: 235 ", "C: QUIT"} {
		if !strings.Contains(text, want) {
			t.Errorf("the dialogue lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "canary") || strings.Contains(text, "AHdlZnQ") {
		t.Errorf("the dialogue has credentials:\n%s", text)
	}
}

// TestFaults: each fault is found by the check that is about it.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	other, err := newDKIM(t, 1).Record()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change        func(o *mailcheck.Options, z *zone)
		check, status string
		detail        string
	}{
		"a sender without domain": {func(o *mailcheck.Options, _ *zone) { o.From = "weft@localhost" }, "sender", mailcheck.Failed, "no domain"},
		"no SPF":                  {func(_ *mailcheck.Options, z *zone) { delete(z.txt, "example.com") }, "spf", mailcheck.Failed, "no SPF record"},
		"two SPF":                 {func(_ *mailcheck.Options, z *zone) { z.txt["example.com"] = []string{"v=spf1 -all", "v=spf1 ~all"} }, "spf", mailcheck.Failed, "2 SPF"},
		"SPF for all":             {func(_ *mailcheck.Options, z *zone) { z.txt["example.com"] = []string{"v=spf1 +all"} }, "spf", mailcheck.Warning, "everybody"},
		"SPF without the server": {func(o *mailcheck.Options, z *zone) {
			o.SMTP.Host, z.txt["example.com"] = "mail.example.com", []string{"v=spf1 ip4:198.51.100.1 -all"}
		}, "spf", mailcheck.Warning, "does not allow 192.0.2.10"},
		"SPF with the server": {func(o *mailcheck.Options, _ *zone) { o.SMTP.Host = "mail.example.com" }, "spf", mailcheck.OK, "allows mail.example.com"},
		"SPF with a fault": {func(o *mailcheck.Options, z *zone) {
			o.SMTP.Host, z.txt["example.com"] = "mail.example.com", []string{"v=spf1 nonsense:x -all"}
		}, "spf", mailcheck.Failed, "cannot be evaluated"},
		"no DKIM record":            {func(_ *mailcheck.Options, z *zone) { delete(z.txt, "weft._domainkey.example.com") }, "dkim", mailcheck.Failed, "no record"},
		"another DKIM key":          {func(_ *mailcheck.Options, z *zone) { z.txt["weft._domainkey.example.com"] = []string{other} }, "dkim", mailcheck.Failed, "another private key"},
		"a revoked DKIM key":        {func(_ *mailcheck.Options, z *zone) { z.txt["weft._domainkey.example.com"] = []string{"v=DKIM1; p="} }, "dkim", mailcheck.Failed, "revoked"},
		"no signing":                {func(o *mailcheck.Options, _ *zone) { o.DKIM = nil }, "dkim", mailcheck.Warning, "does not sign"},
		"no DMARC":                  {func(_ *mailcheck.Options, z *zone) { delete(z.txt, "_dmarc.example.com") }, "dmarc", mailcheck.Failed, "no DMARC record"},
		"DMARC of the organization": {func(o *mailcheck.Options, z *zone) { o.From = "weft@news.example.com" }, "dmarc", mailcheck.OK, "_dmarc.example.com"},
		"a faulty DMARC":            {func(_ *mailcheck.Options, z *zone) { z.txt["_dmarc.example.com"] = []string{"v=DMARC1; p=maybe"} }, "dmarc", mailcheck.Failed, "cannot be read"},
		"no alignment": {func(o *mailcheck.Options, z *zone) {
			o.From = "weft@example.net"
			z.txt["_dmarc.example.net"] = []string{"v=DMARC1; p=none"}
		}, "alignment", mailcheck.Failed, "example.net"},
		"strict DKIM alignment": {func(o *mailcheck.Options, z *zone) {
			o.From = "weft@news.example.com"
			z.txt["_dmarc.news.example.com"] = []string{"v=DMARC1; p=none; adkim=s; aspf=s"}
		}, "alignment", mailcheck.Failed, "news.example.com"},
		"no MX":                   {func(_ *mailcheck.Options, z *zone) { clear(z.mx) }, "bounces", mailcheck.Warning, "no MX"},
		"a null MX":               {func(_ *mailcheck.Options, z *zone) { z.mx["example.com"] = "." }, "bounces", mailcheck.Failed, "no mail"},
		"no bounce address":       {func(o *mailcheck.Options, _ *zone) { o.SMTP.BounceAddress = "" }, "bounces", mailcheck.Warning, "does not learn"},
		"no server":               {func(o *mailcheck.Options, _ *zone) { o.SMTP.Port = 1 }, "server", mailcheck.Failed, "refused"},
		"an unknown authority":    {func(o *mailcheck.Options, _ *zone) { o.TLS = nil }, "tls", mailcheck.Failed, "certificate"},
		"a wrong password":        {func(o *mailcheck.Options, _ *zone) { o.SMTP.Password = "wrongcanary" }, "sign-in", mailcheck.Failed, "5"},
		"TLS where there is none": {func(o *mailcheck.Options, _ *zone) { o.SMTP.TLS = providers.TLSImplicit }, "tls", mailcheck.Failed, "TLS"},
		"a certificate that ends soon": {func(o *mailcheck.Options, _ *zone) {
			o.Now = func() time.Time { return time.Date(2084, 1, 20, 0, 0, 0, 0, time.UTC) }
		}, "tls", mailcheck.Warning, "2084"},
	} {
		o, z := options(t, s)
		test.change(&o, &z)
		r := run(t, o, z)
		if f := finding(t, r, test.check); f.Status != test.status || !strings.Contains(f.Detail, test.detail) {
			t.Errorf("%s: %+v", name, f)
		}
		for _, f := range r.Findings {
			if strings.Contains(f.Detail+f.Hint, "canary") {
				t.Errorf("%s: %+v has a password", name, f)
			}
		}
	}
}

// TestTestMessage: a test message is signed and sent, and its refusal fails the check.
func TestTestMessage(t *testing.T) {
	t.Parallel()
	sent := &recorder{}
	s := startServer(t)
	o, z := options(t, s)
	o.Provider, o.To = sent, "me@example.org"
	if f := finding(t, run(t, o, z), "test message"); f.Status != mailcheck.OK || sent.last.Address.To != "me@example.org" || sent.last.UnsubscribeURL != "" {
		t.Errorf("%+v, %+v", f, sent.last)
	}
	sent.err = &channel.Error{Class: channel.Permanent, Code: "550 5.7.26", Detail: "unauthenticated"}
	r := run(t, o, z)
	if f := finding(t, r, "test message"); f.Status != mailcheck.Failed || !strings.Contains(f.Detail, "550 5.7.26") || !r.Failed() {
		t.Errorf("%+v", f)
	}
	if f := finding(t, r, "spf"); f.Status != mailcheck.Skipped {
		t.Errorf("%+v", f)
	}
}

// recorder is a provider that is none of weft's.
type recorder struct {
	last channel.Message
	err  error
}

func (*recorder) Name() string { return "ses" }
func (r *recorder) Send(_ context.Context, m channel.Message) (channel.Receipt, error) {
	r.last = m
	return channel.Receipt{Provider: "ses", MessageID: "1"}, r.err
}
