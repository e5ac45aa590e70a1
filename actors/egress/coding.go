package egress

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxCodings bounds the content codings that were applied to one response.
const maxCodings = 3

// codingError is a content coding (RFC 9110 §8.4.1) that cannot be decoded. name is that of the response, shortened to a token.
type codingError struct {
	name  string
	cause error
}

func (e *codingError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("decoding content coding %s: %v", e.name, e.cause)
	}
	return "content coding " + e.name
}

func (e *codingError) Unwrap() error { return e.cause }

// decodeContent replaces the body of a response by its decoded content. The transport offers gzip and decodes it; this is for servers
// that apply a coding which was not offered, or name one in the old way. It reads gzip, x-gzip and deflate.
func decodeContent(method string, response *http.Response) error {
	applied := codings(response.Header)
	if len(applied) == 0 || method == http.MethodHead || response.ContentLength == 0 || response.StatusCode == http.StatusNoContent {
		return nil
	}
	if len(applied) > maxCodings {
		return &codingError{name: token(strings.Join(applied, ","))}
	}
	body := response.Body
	for i := len(applied) - 1; i >= 0; i-- {
		switch applied[i] {
		case "gzip", "x-gzip", "deflate":
			body = &decoder{name: applied[i], encoded: body}
		default:
			return &codingError{name: token(applied[i])}
		}
	}
	response.Body, response.ContentLength, response.Uncompressed = body, -1, true
	response.Header.Del("Content-Encoding")
	response.Header.Del("Content-Length")
	return nil
}

// codings returns the codings in the order in which they were applied, without identity.
func codings(header http.Header) (names []string) {
	for _, value := range header.Values("Content-Encoding") {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				names = append(names, name)
			}
		}
	}
	return names
}

// token is a name without characters that a token does not have (RFC 9110 §5.6.2), of at most 40 characters.
func token(name string) string {
	name = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '"' {
			return r
		}
		return -1
	}, name)
	return name[:min(len(name), 40)]
}

// decoder decodes a coding while it is read. An empty body is empty in every coding.
type decoder struct {
	name    string
	encoded io.ReadCloser
	decoded io.Reader
}

// Read implements io.Reader.
func (d *decoder) Read(p []byte) (int, error) {
	if d.decoded == nil {
		source := bufio.NewReader(d.encoded)
		start, err := source.Peek(2)
		if len(start) == 0 && errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if len(start) == 0 {
			return 0, err
		}
		decoded, err := d.open(source, start)
		if err != nil {
			return 0, &codingError{name: d.name, cause: err}
		}
		d.decoded = decoded
	}
	n, err := d.decoded.Read(p)
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, zlib.ErrChecksum) {
		err = &codingError{name: d.name, cause: err}
	}
	return n, err
}

// open returns a reader of the decoded content. deflate is the zlib format (RFC 9110 §8.4.1.2), but some servers send it without its
// header.
func (d *decoder) open(source *bufio.Reader, start []byte) (io.Reader, error) {
	if d.name != "deflate" {
		return gzip.NewReader(source)
	}
	if len(start) == 2 && start[0]&0x0f == 8 && (int(start[0])<<8|int(start[1]))%31 == 0 {
		return zlib.NewReader(source)
	}
	return flate.NewReader(source), nil
}

// Close implements io.Closer.
func (d *decoder) Close() error { return d.encoded.Close() }
