package egress_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

// TestARequestIsWrittenOnce: net/http would repeat a read, silently, that was written to a kept connection which the
// other side then closed.
func TestARequestIsWrittenOnce(t *testing.T) {
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
			go answerOnceThenHangUp(conn, &seen)
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
		t.Errorf("the second call: %v, want a broken connection", err)
	}
	if seen.Load() != 2 || started.Load() != 2 {
		t.Errorf("two calls made %d requests, of which %d were told of", seen.Load(), started.Load())
	}
}

// answerOnceThenHangUp answers the first request of a connection and closes it once the second has come.
func answerOnceThenHangUp(conn net.Conn, seen *atomic.Int64) {
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
