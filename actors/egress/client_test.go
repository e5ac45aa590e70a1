package egress_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/actors/egress"
)

// TestMain sets an unreachable proxy in the environment, so that any use of it fails the test.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// newClient returns a client that may call local servers over plain http.
func newClient(t *testing.T, change func(*egress.Options)) *egress.Client {
	t.Helper()
	options := egress.Options{Allow: []netip.Prefix{loopback}, AllowHTTP: true, Timeout: 10 * time.Second}
	if change != nil {
		change(&options)
	}
	client, err := egress.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func newServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func wantKind(t *testing.T, err error, kind egress.Kind, sent bool) {
	t.Helper()
	var failed *egress.Error
	if !errors.As(err, &failed) || failed.Kind != kind || failed.Sent != sent {
		t.Fatalf("got %v (%#v), want %s with Sent=%v", err, failed, kind, sent)
	}
}

// newResolver starts a DNS server that answers every A query with ip.
func newResolver(t *testing.T, ip [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) == 0 {
				continue
			}
			message.Response = true
			message.Additionals = nil
			if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
					Body:   &dnsmessage.AResource{A: ip},
				}}
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestNonPublicAddressesAreBlocked(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := newServer(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	client := newClient(t, func(o *egress.Options) { o.Allow = nil })
	for _, host := range []string{
		"127.0.0.1", "127.8.9.1", "localhost", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
		"169.254.169.254", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[fd00:ec2::254]", "[fe80::1]", "[2002:7f00:1::]",
	} {
		_, err := client.Do(t.Context(), egress.Request{URL: "http://" + host + ":" + port + "/"})
		var failed *egress.Error
		if !errors.As(err, &failed) || failed.Kind != egress.KindBlocked || failed.Sent {
			t.Errorf("%s: got %v", host, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the local server was reached %d times", hits.Load())
	}
}

func TestNameResolvingToLoopbackIsBlocked(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := newServer(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	names := newResolver(t, [4]byte{127, 0, 0, 1})
	address := "http://rebind.example.com:" + port + "/"

	_, err := newClient(t, func(o *egress.Options) { o.Allow, o.Resolver = nil, names }).Do(t.Context(), egress.Request{URL: address})
	wantKind(t, err, egress.KindBlocked, false)
	if strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the error contains the resolved address: %v", err)
	}
	if hits.Load() != 0 {
		t.Fatal("the local server was reached")
	}
	// The same call succeeds if the address is allowed, and does not use the proxy.
	if _, err := newClient(t, func(o *egress.Options) { o.Resolver = names }).Do(t.Context(), egress.Request{URL: address}); err != nil || hits.Load() != 1 {
		t.Fatalf("got %v after %d hits", err, hits.Load())
	}
}

// TestNamesThatDoNotExistAnswerAsBlockedOnes: the error of a name in the operator's network is that of a name that does not exist, or
// that no server resolves.
func TestNamesThatDoNotExistAnswerAsBlockedOnes(t *testing.T) {
	t.Parallel()
	blocked := newClient(t, func(o *egress.Options) { o.Allow, o.Resolver = nil, newResolver(t, [4]byte{10, 0, 0, 1}) })
	missing := newClient(t, func(o *egress.Options) {
		o.Allow, o.Resolver = nil, &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no server")
		}}
	})
	for _, address := range []string{"http://vault.internal.example:8200/v1", "https://vault.internal.example/"} {
		_, first := blocked.Do(t.Context(), egress.Request{URL: address})
		_, second := missing.Do(t.Context(), egress.Request{URL: address})
		wantKind(t, first, egress.KindBlocked, false)
		wantKind(t, second, egress.KindBlocked, false)
		if first.Error() != second.Error() {
			t.Errorf("%s: %q and %q", address, first, second)
		}
	}
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: "http://does-not-exist.invalid/"})
	wantKind(t, err, egress.KindBlocked, false)
}

func TestRedirectToMetadataAddressIsBlocked(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "//169.254.169.254/"} {
		server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusFound)
		})
		_, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: server.URL})
		wantKind(t, err, egress.KindBlocked, true)
	}
}

func TestAllowedRanges(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(http.ResponseWriter, *http.Request) {})
	for _, prefix := range []string{"127.0.0.1/32", "::ffff:127.0.0.0/104"} {
		client := newClient(t, func(o *egress.Options) { o.Allow = []netip.Prefix{netip.MustParsePrefix(prefix)} })
		if _, err := client.Do(t.Context(), egress.Request{URL: server.URL}); err != nil {
			t.Errorf("%s: %v", prefix, err)
		}
	}
	if _, err := egress.New(egress.Options{Allow: []netip.Prefix{{}}}); err == nil {
		t.Error("New accepted an invalid prefix")
	}
}

func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	client := newClient(t, nil)
	strict := newClient(t, func(o *egress.Options) { o.AllowHTTP = false })
	for _, c := range []struct {
		name   string
		client *egress.Client
		r      egress.Request
		want   egress.Kind
	}{
		{"http", strict, egress.Request{URL: "http://example.com/"}, egress.KindScheme},
		{"file", client, egress.Request{URL: "file:///etc/passwd"}, egress.KindInvalid},
		{"gopher", client, egress.Request{URL: "gopher://example.com/"}, egress.KindScheme},
		{"no host", client, egress.Request{URL: "https:///x"}, egress.KindInvalid},
		{"opaque", client, egress.Request{URL: "https:example.com"}, egress.KindInvalid},
		{"user information", client, egress.Request{URL: "https://user:secret@example.com/"}, egress.KindInvalid},
		{"control character", client, egress.Request{URL: "https://example.com/\r\nX: y"}, egress.KindInvalid},
		{"host header", client, egress.Request{URL: "https://example.com/", Header: http.Header{"Host": {"x"}}}, egress.KindInvalid},
		{"transfer-encoding header", client, egress.Request{URL: "https://example.com/", Header: http.Header{"transfer-encoding": {"chunked"}}}, egress.KindInvalid},
		{"header injection", client, egress.Request{URL: "http://127.0.0.1:9/", Header: http.Header{"X": {"a\r\nb: c"}}}, egress.KindInvalid},
		{"method", client, egress.Request{URL: "http://127.0.0.1:9/", Method: "GE T"}, egress.KindInvalid},
		{"host", client, egress.Request{URL: "https://example.com/", Hosts: []string{"api.example.com"}}, egress.KindHost},
		{"closed port", client, egress.Request{URL: "http://127.0.0.1:1/"}, egress.KindConnect},
	} {
		_, err := c.client.Do(t.Context(), c.r)
		var failed *egress.Error
		if !errors.As(err, &failed) || failed.Kind != c.want || failed.Sent {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error contains the password: %v", c.name, err)
		}
	}
}

func TestHostAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"api.example.com", "https://API.example.com./x", true},
		{"api.example.com", "https://api.example.com:443/", true},
		{"api.example.com", "https://api.example.com:8443/", false},
		{"api.example.com:8443", "https://api.example.com:8443/", true},
		{"api.example.com:8443", "https://api.example.com/", false},
		{"api.example.com", "https://api.example.com.evil.org/", false},
		{"api.example.com", "https://xapi.example.com/", false},
		{"*.example.com", "https://a.b.example.com/", true},
		{"*.example.com", "https://example.com/", false},
		{"*.example.com", "https://evilexample.com/", false},
		{"*.example.com:8080", "http://a.example.com:8080/", true},
		{"[::1]:80", "http://[::1]/", true},
		{"", "https://example.com/", false},
		{"*", "https://example.com/", false},
	} {
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := egress.HostAllowed([]string{c.pattern}, u); got != c.want {
			t.Errorf("HostAllowed(%q, %s) = %v", c.pattern, c.address, got)
		}
	}
}

func TestResponseLimits(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			_, _ = w.Write(make([]byte, 1001))
		case "/chunks":
			for range 11 {
				_, _ = w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, zeros{}, 1<<20)
			_ = z.Close()
		case "/header":
			w.Header().Set("X-Big", strings.Repeat("x", 64<<10))
		case "/fits":
			_, _ = w.Write(make([]byte, 1000))
		}
	})
	client := newClient(t, func(o *egress.Options) { o.MaxBody, o.MaxHeader = 1000, 16<<10 })
	for _, path := range []string{"/length", "/chunks", "/bomb", "/header"} {
		_, err := client.Do(t.Context(), egress.Request{URL: server.URL + path})
		if egress.KindOf(err) != egress.KindTooLarge {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if response, err := client.Do(t.Context(), egress.Request{URL: server.URL + "/fits"}); err != nil || len(response.Body) != 1000 {
		t.Errorf("got %v", err)
	}
	if _, err := client.Do(t.Context(), egress.Request{URL: server.URL + "/length", MaxBody: 2000}); err != nil {
		t.Errorf("with a higher limit for the call: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTimeoutsReportWhetherTheRequestWasSent(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := newServer(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	client := newClient(t, nil)

	var started, sending atomic.Int64
	request := egress.Request{Method: "POST", URL: slow.URL, Body: []byte("{}"), Timeout: 100 * time.Millisecond, Started: func() { started.Add(1) }}
	_, err = client.Do(t.Context(), request)
	wantKind(t, err, egress.KindTimeout, true)
	if started.Load() != 1 {
		t.Errorf("Started was called %d times", started.Load())
	}

	// The server never completes the TLS handshake: nothing of the request is written.
	_, err = client.Do(t.Context(), egress.Request{
		URL: "https://" + silent.Addr().String(), Timeout: 100 * time.Millisecond, Started: func() { started.Add(1) }, Sending: func() { sending.Add(1) },
	})
	wantKind(t, err, egress.KindTimeout, false)
	if sending.Load() != 0 {
		t.Error("Sending was called for a request of which nothing was written")
	}

	// The server never reads the body: the header is written, the whole request is not.
	_, err = client.Do(t.Context(), egress.Request{
		Method: "POST", URL: "http://" + silent.Addr().String(), Body: make([]byte, 64<<20),
		Timeout: 200 * time.Millisecond, Started: func() { started.Add(1) }, Sending: func() { sending.Add(1) },
	})
	wantKind(t, err, egress.KindTimeout, true)
	if sending.Load() != 1 {
		t.Errorf("Sending was called %d times", sending.Load())
	}
	if started.Load() != 1 {
		t.Errorf("Started was called for a request that was not fully written")
	}

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Do(short, egress.Request{URL: slow.URL})
	wantKind(t, err, egress.KindDeadline, true)

	canceled, cancel := context.WithCancel(t.Context())
	_, err = client.Do(canceled, egress.Request{URL: slow.URL, Started: cancel})
	wantKind(t, err, egress.KindCanceled, true)
}

func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if r.URL.Path == "/half" {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}
		conn.Close()
	})
	client := newClient(t, nil)
	for _, path := range []string{"/none", "/half"} {
		_, err := client.Do(t.Context(), egress.Request{Method: "POST", URL: server.URL + path})
		wantKind(t, err, egress.KindTransport, true)
	}
}

func TestTLSCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) }))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: server.URL})
	wantKind(t, err, egress.KindConnect, false)

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusting := newClient(t, func(o *egress.Options) { o.TLS = &tls.Config{RootCAs: roots}; o.AllowHTTP = false })
	response, err := trusting.Do(t.Context(), egress.Request{URL: server.URL + "/x?key=1"})
	if err != nil || string(response.Body) != "weft" || response.URL != server.URL+"/x" {
		t.Fatalf("got %v, %+v", err, response)
	}
}

// An error shows the kind and the host, never the path, the query, the address or the cause.
func TestErrorTextsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	names := newResolver(t, [4]byte{10, 0, 0, 7})
	client := newClient(t, func(o *egress.Options) { o.Resolver = names })
	_, err := client.Do(t.Context(), egress.Request{URL: "http://api.example.com/path-secret?key=query-secret"})
	wantKind(t, err, egress.KindBlocked, false)
	if got := err.Error(); got != "egress: the host does not resolve to an allowed address (api.example.com)" {
		t.Errorf("got %q", got)
	}
	if errors.Unwrap(err) == nil {
		t.Error("it has no cause")
	}
	if kind := egress.KindOf(errors.New("other")); kind != "" {
		t.Errorf("another error has the kind %s", kind)
	}
}
