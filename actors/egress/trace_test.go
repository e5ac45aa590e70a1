package egress_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

// net/http would transparently retry a GET that it wrote to a kept-alive connection which the server then closed.
func TestRequestIsWrittenOnce(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go respondOnceThenClose(conn, &seen)
		}
	}()
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var started atomic.Int64
	get := func() error {
		_, err := client.Do(t.Context(), egress.Request{
			Method: http.MethodGet, URL: "http://" + listener.Addr().String() + "/", Started: func() { started.Add(1) },
		})
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	err = get()
	if egress.KindOf(err) != egress.KindTransport {
		t.Errorf("the second call: %v, want KindTransport", err)
	}
	if seen.Load() != 2 || started.Load() != 2 {
		t.Errorf("two calls made %d requests and called Started %d times", seen.Load(), started.Load())
	}
}

// respondOnceThenClose responds to the first request of a connection and closes it when it has read the second.
func respondOnceThenClose(conn net.Conn, seen *atomic.Int64) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for n := range 2 {
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		seen.Add(1)
		if n == 0 {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

// HTTP/2 calls share a connection, which the guard against a second write must leave open.
func TestHTTP2ConnectionIsShared(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.RemoteAddr)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := newClient(t, func(o *egress.Options) {
		o.TLS = server.Client().Transport.(*http.Transport).TLSClientConfig
		o.TLS.NextProtos = nil
	})
	var first string
	for i := range 3 {
		response, err := client.Do(t.Context(), egress.Request{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		got := string(response.Body)
		if i == 0 {
			first = got
		}
		if got != first || !strings.HasPrefix(got, "HTTP/2.0 ") {
			t.Errorf("call %d: %q, the first was %q", i, got, first)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.Do(canceled, egress.Request{URL: server.URL})
	wantKind(t, err, egress.KindCanceled, false)
}

// TestPermitIsAskedBeforeTheRequestIsWritten: a refused request never reaches the server, over either version of HTTP and on a new as
// on a kept-alive connection.
func TestPermitIsAskedBeforeTheRequestIsWritten(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			client, err := egress.New(egress.Options{
				Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var permitted, started atomic.Bool
			send := func(body string) error {
				_, err := client.Do(t.Context(), egress.Request{
					Method: http.MethodPost, URL: server.URL, Body: []byte(body), Started: func() { started.Store(true) },
					Permit: func() error {
						if permitted.Load() {
							return nil
						}
						return errors.New("the lease has expired")
					},
				})
				return err
			}
			for i, body := range []string{"x", strings.Repeat("x", 1<<20), "kept alive"} {
				permitted.Store(i == 2)
				err := send(body)
				if i == 2 {
					if err != nil {
						t.Errorf("a permitted request: %v", err)
					}
					permitted.Store(false)
					err = send(body)
				}
				var failed *egress.Error
				if !errors.As(err, &failed) || failed.Kind != egress.KindCanceled || failed.Sent && i != 2 {
					t.Errorf("a refused request: %v", err)
				}
			}
			if seen.Load() != 1 || !started.Load() {
				t.Errorf("the server saw %d requests, want the permitted one", seen.Load())
			}
		})
	}
}
