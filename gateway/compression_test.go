package gateway_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// raw makes a request without the transport's own compression.
func raw(t *testing.T, method, url, accept string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept-Encoding", accept)
	}
	response, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// TestBodiesAreCompressed negotiates the content coding as RFC 9110 §12.5.3 says.
func TestBodiesAreCompressed(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	_, plain := raw(t, "GET", s.url+"/openapi.json", "")
	if len(plain) < 100_000 {
		t.Fatalf("the document has %d bytes", len(plain))
	}
	for accept, want := range map[string]string{
		"": "", "identity": "", "br": "", "gzip": "gzip", "zstd": "zstd", "gzip, zstd": "zstd", "gzip;q=1, zstd;q=0.5": "gzip", "gzip;q=0": "",
		"deflate, gzip;q=0.5": "gzip", "GZIP": "gzip",
	} {
		response, body := raw(t, "GET", s.url+"/openapi.json", accept)
		if got := response.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q", accept, got)
			continue
		}
		if vary := strings.Join(response.Header.Values("Vary"), ","); strings.Count(vary, "Accept-Encoding") != 1 {
			t.Errorf("Accept-Encoding %q: Vary %q", accept, vary)
		}
		if response.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("Accept-Encoding %q: Content-Length %s of %d", accept, response.Header.Get("Content-Length"), len(body))
		}
		if want != "" && len(body) > len(plain)/4 {
			t.Errorf("Accept-Encoding %q: %d of %d bytes", accept, len(body), len(plain))
		}
		if decoded := decode(t, want, body); !bytes.Equal(decoded, plain) {
			t.Errorf("Accept-Encoding %q: another body", accept)
		}
	}
	if response, _ := s.do(t, "GET", "/openapi.json", "", "Accept-Encoding: zstd"); !strings.HasSuffix(response.Header.Get("ETag"), `-zstd"`) {
		t.Errorf("ETag %s", response.Header.Get("ETag"))
	} else if again, _ := s.do(t, "GET", "/openapi.json", "", "Accept-Encoding: zstd", "If-None-Match: "+response.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("with its ETag: %d", again.StatusCode)
	}
	if response, body := raw(t, "HEAD", s.url+"/openapi.json", "gzip"); len(body) > 0 || response.Header.Get("Content-Encoding") != "" ||
		response.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("HEAD: %v", response.Header)
	}
	if response, _ := raw(t, "GET", s.url+"/healthz", "gzip"); response.Header.Get("Content-Encoding") != "" {
		t.Error("a small body is compressed")
	}
}

func decode(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var reader io.Reader = bytes.NewReader(body)
	switch coding {
	case "gzip":
		unzipped, err := gzip.NewReader(reader)
		if err != nil {
			t.Fatal(err)
		}
		reader = unzipped
	case "zstd":
		unpacked, err := zstd.NewReader(reader)
		if err != nil {
			t.Fatal(err)
		}
		defer unpacked.Close()
		reader = unpacked
	}
	decoded, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// TestSecretsAreNotCompressed: the length of a compressed body tells what a secret in it has in common with the rest.
func TestSecretsAreNotCompressed(t *testing.T) {
	t.Parallel()
	for _, d := range []interface{ Describe() *subjects.Descriptor }{
		subjects.Login, subjects.RefreshToken, subjects.CreateAPIKey, subjects.RotateWebhookSecret,
	} {
		if !gateway.HasSecret(d.Describe()) {
			t.Errorf("the replies of %s may be compressed", d.Describe().Name())
		}
	}
	for _, d := range []interface{ Describe() *subjects.Descriptor }{subjects.ListWorkflows, subjects.ExecuteWorkflow, subjects.ListProviders} {
		if gateway.HasSecret(d.Describe()) {
			t.Errorf("the replies of %s are not compressed", d.Describe().Name())
		}
	}
}
