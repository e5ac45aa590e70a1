package gateway

import (
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"

	"github.com/weftmesh/weft/subjects"
)

const (
	// minCompressed is from how many bytes on a body is compressed: a smaller one takes one packet either way.
	minCompressed = 1024
	// fastGzip is the level of gzip: level 6 makes JSON 5 to 10 % smaller and takes three times as long.
	fastGzip = 1
)

// compression compresses complete response bodies by gzip or zstd, as the client prefers (RFC 9110 §12.5.3). A body that holds a secret is
// not compressed: its length would tell a caller who may choose a part of it, and sees the length, what the rest is (BREACH). Streams,
// uploads and downloads are not compressed either.
type compression struct {
	wrap func(http.Handler) http.HandlerFunc
	// slots bounds how many bodies are compressed at a time. What finds none free is sent as it is.
	slots chan struct{}
}

func newCompression() (*compression, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minCompressed), gzhttp.CompressionLevel(fastGzip), gzhttp.SetContentType(false),
		gzhttp.SuffixETag(subjects.CompressedTagSuffixes[0]), gzhttp.ContentTypeFilter(isText))
	if err != nil {
		return nil, err //nolint:wrapcheck // an invalid option is a bug of this function
	}
	return &compression{wrap: wrap, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

// isText reports whether a content type is one that becomes smaller.
func isText(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "json") || strings.HasSuffix(media, "+xml") || strings.HasSuffix(media, "yaml")
}

// hasSecret reports whether the replies of an endpoint hold a secret: one that a replay omits, or a token.
func hasSecret(d *subjects.Descriptor) bool {
	return len(d.Secret) > 0 || d.Cookie != nil || d.ResponseType != nil && hasToken(d.ResponseType, map[reflect.Type]bool{})
}

// hasToken reports whether the JSON of a type has a member whose name says that it is a token or a secret.
func hasToken(t reflect.Type, seen map[reflect.Type]bool) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return false
	}
	seen[t] = true
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.HasSuffix(name, "token") || strings.HasSuffix(name, "secret") || hasToken(field.Type, seen) {
			return true
		}
	}
	return false
}

// writeCompressed writes a response if its body is to be compressed, and sets Vary where another request for it may be.
func (rc *requestContext) writeCompressed(status int, body []byte) bool {
	c := rc.g.compression
	if len(body) < minCompressed || rc.op.secret || !isText(rc.w.Header().Get("Content-Type")) {
		return false
	}
	if len(rc.r.Header["Accept-Encoding"]) == 0 || rc.r.Method == http.MethodHead {
		rc.addHeader("Vary", "Accept-Encoding")
		return false
	}
	select {
	case c.slots <- struct{}{}:
	default:
		rc.addHeader("Vary", "Accept-Encoding")
		return false
	}
	// The slot is given back before the client reads, which may take its time.
	page := &pageBuffer{header: rc.w.Header()}
	c.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body) // into memory
	})).ServeHTTP(page, rc.r)
	<-c.slots
	rc.g.metrics.compressed.WithLabelValues(encodingOf(page.header)).Inc()
	rc.w.Header()["Content-Length"] = []string{strconv.Itoa(page.Len())}
	rc.w.WriteHeader(status)
	_, _ = page.WriteTo(rc.w) // a write error means that the client has disconnected
	return true
}

// encodingOf is the content coding of a response: gzip, zstd or identity.
func encodingOf(h http.Header) string {
	if coding := h.Get("Content-Encoding"); coding != "" {
		return coding
	}
	return "identity"
}
