package gateway

import (
	"net/http"

	"github.com/weftmesh/weft/subjects"
)

// Shared header values of answers with an ETag. A cache may keep them for the same credentials, and must ask before each use.
var (
	privateNoCache  = []string{"private, no-cache"}
	varyCredentials = "Authorization, Cookie"
	// publicShortly is for documents that are the same for all and change with weft's version.
	publicShortly = []string{"public, max-age=300"}
)

// tag sets the ETag of a reply and reports whether the client has that version already. An answer to a GET may be kept by the client's own
// cache, which Vary keeps apart by credentials: two users may have different resources of the same version at one URL.
func (rt *route) tag(rc *requestContext, reply []byte) (current bool) {
	version := member(reply, rt.d.Tag)
	if len(version) == 0 {
		return false
	}
	tag := subjects.VersionTag(string(version))
	rc.setHeader("Etag", tag)
	if rt.d.HTTPMethod != http.MethodGet {
		return false
	}
	rc.w.Header()["Cache-Control"] = privateNoCache
	rc.addHeader("Vary", varyCredentials)
	return matchesETag(rc.r.Header, tag)
}

// notModified answers 304, without a body and its description (RFC 9110 §15.4.5).
func (rc *requestContext) notModified() {
	rc.status = http.StatusNotModified
	rc.w.WriteHeader(rc.status)
}

// member returns the text of a top-level member of a JSON object; nil if there is none. The object is well-formed, as encoding/json writes
// it, and the name needs no escape. Nothing is allocated.
func member(object []byte, name string) []byte {
	depth := 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			for i++; i < len(object) && object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
			if depth == 1 && i < len(object) && string(object[start:i]) == name && follows(object[i+1:], ':') {
				return scalar(object[i+1:])
			}
		}
	}
	return nil
}

// follows reports whether c is the first byte that is not space.
func follows(text []byte, c byte) bool {
	for _, b := range text {
		if b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return b == c
		}
	}
	return false
}

// scalar returns the number after a colon; nil if the value is no integer.
func scalar(text []byte) []byte {
	start := 0
	for start < len(text) && (text[start] < '0' || text[start] > '9') {
		if b := text[start]; b != ':' && b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return nil
		}
		start++
	}
	end := start
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return text[start:end]
}
