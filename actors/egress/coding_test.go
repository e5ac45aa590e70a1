package egress_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

func compressed(t *testing.T, coding, text string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&buffer)
	case "zlib":
		w = zlib.NewWriter(&buffer)
	case "flate":
		w, _ = flate.NewWriter(&buffer, flate.BestCompression)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// TestContentCodings: content is decoded from every coding that is read, whether or not it was offered, into the body or a sink;
// another one is an error that names it.
func TestContentCodings(t *testing.T) {
	t.Parallel()
	const text = `{"a":"b"}`
	plain := []byte(text)
	zipped, zlibbed, flated := compressed(t, "gzip", text), compressed(t, "zlib", text), compressed(t, "flate", text)
	var coding string
	var body []byte
	var offered string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offered = r.Header.Get("Accept-Encoding")
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	c := newClient(t, func(o *egress.Options) { o.MaxBody = 1 << 16 })
	for _, test := range []struct {
		coding string
		body   []byte
		want   string
		named  string
	}{
		{"", plain, text, ""}, {"identity", plain, text, ""}, {"gzip", zipped, text, ""}, {"x-gzip", zipped, text, ""}, {"X-GZip", zipped, text, ""},
		{"deflate", zlibbed, text, ""}, {"deflate", flated, text, ""}, {"gzip, deflate", compressed(t, "zlib", string(zipped)), text, ""},
		{"identity, x-gzip", zipped, text, ""}, {"x-gzip", nil, "", ""}, {"deflate", nil, "", ""},
		{"br", plain, "", "br"}, {"zstd", plain, "", "zstd"}, {"x-gzip, br", plain, "", "br"},
		{"x-gzip", plain, "", "x-gzip"}, {"deflate", []byte("\xff\xff\xff"), "", "deflate"},
		{"gzip,gzip,gzip,gzip", zipped, "", "gzip,gzip,gzip,gzip"},
	} {
		coding, body = test.coding, test.body
		for _, sunk := range []bool{false, true} {
			request := egress.Request{URL: server.URL}
			var stored []byte
			if sunk {
				request.Sink = func(_ int, _ http.Header, body io.Reader) (bool, error) {
					var err error
					stored, err = io.ReadAll(body)
					return true, err
				}
			}
			response, err := c.Do(t.Context(), request)
			switch {
			case test.named != "":
				if egress.KindOf(err) != egress.KindCoding || !strings.Contains(err.Error(), test.named) {
					t.Errorf("%s: %v", test.coding, err)
				}
			case err != nil:
				t.Errorf("%s: %v", test.coding, err)
			case string(append(stored, response.Body...)) != test.want:
				t.Errorf("%s: got %q", test.coding, append(stored, response.Body...))
			case test.coding != "identity" && response.Header.Get("Content-Encoding") != "" && len(body) > 0:
				t.Errorf("%s: the decoded response has the coding %s", test.coding, response.Header.Get("Content-Encoding"))
			}
		}
	}
	if offered != "gzip" {
		t.Errorf("the client offers %q", offered)
	}
	for _, bomb := range []struct{ coding, kind string }{{"gzip", "gzip"}, {"x-gzip", "gzip"}, {"deflate", "zlib"}, {"deflate", "flate"}} {
		coding, body = bomb.coding, compressed(t, bomb.kind, strings.Repeat("0", 10<<20))
		if _, err := c.Do(t.Context(), egress.Request{URL: server.URL}); egress.KindOf(err) != egress.KindTooLarge {
			t.Errorf("a bomb in %s: %v", coding, err)
		}
	}
	coding, body = "br", nil
	if response, err := c.Do(t.Context(), egress.Request{Method: http.MethodHead, URL: server.URL}); err != nil || response.Status != 200 {
		t.Errorf("HEAD: %v", err)
	}
}
