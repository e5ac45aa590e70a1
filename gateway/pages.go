package gateway

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/swaggest/swgui/v5emb"

	"github.com/weftmesh/weft/subjects"
)

//go:embed landing.html
var landing []byte

// landingPolicy is the Content-Security-Policy of the landing page, which has inline styles and no scripts.
var landingPolicy = []string{"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}

var noReferrer = []string{"no-referrer"}

var typeHTML = []string{"text/html; charset=utf-8"}

// pages returns the operations of the landing page, the OpenAPI document and Swagger UI, whose assets are embedded in the
// binary.
func (g *Gateway) pages() ([]*operation, error) {
	openapi, err := OpenAPI(g.Version)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(openapi)
	openapiTag := []string{subjects.VersionTag(hex.EncodeToString(sum[:16]))}
	ui := v5emb.New("weft", "/openapi.json", "/docs/")
	policy := []string{docsPolicy(ui)}
	docs := func(rc *requestContext) error {
		rc.w.Header()["Content-Security-Policy"] = policy
		rc.w.Header()["Referrer-Policy"] = noReferrer
		page := &docsWriter{statusWriter{ResponseWriter: rc.w, status: &rc.status}}
		request := rc.r.Clone(rc.ctx)
		if tags := request.Header["If-None-Match"]; len(tags) > 0 {
			// Swagger UI's handler compares with a tag that lacks its quotes.
			request.Header.Set("If-None-Match", strings.Trim(strings.TrimPrefix(tags[0], "W/"), `"`))
		}
		ui.ServeHTTP(page, request)
		return nil
	}
	return []*operation{
		{name: "gateway.landing", route: "/{$}", handle: func(rc *requestContext) error {
			rc.w.Header()["Content-Security-Policy"] = landingPolicy
			rc.w.Header()["Referrer-Policy"] = noReferrer
			rc.write(http.StatusOK, typeHTML, landing)
			return nil
		}},
		{name: "gateway.openapi", route: "/openapi.json", handle: func(rc *requestContext) error {
			h := rc.w.Header()
			h["Etag"], h["Cache-Control"] = openapiTag, publicShortly
			if matchesETag(rc.r.Header, openapiTag[0]) {
				rc.notModified()
				return nil
			}
			rc.write(http.StatusOK, typeJSON, openapi)
			return nil
		}},
		{name: "gateway.docs", route: "/docs", handle: docs},
		{name: "gateway.docs_assets", route: "/docs/{asset...}", handle: docs, quiet: true},
	}, nil
}

// docsWriter puts the ETag of Swagger UI's handler into quotes (RFC 9110 §8.8.3).
type docsWriter struct{ statusWriter }

// WriteHeader implements http.ResponseWriter.
func (w *docsWriter) WriteHeader(status int) {
	if tag := w.Header().Get("Etag"); tag != "" && !strings.HasPrefix(tag, `"`) {
		w.Header().Set("Etag", `"`+tag+`"`)
	}
	w.statusWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *docsWriter) Write(data []byte) (int, error) {
	if *w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.statusWriter.Write(data)
}

// statusWriter records the status that a handler of a library writes.
type statusWriter struct {
	http.ResponseWriter
	// status is 0 until the response has started.
	status *int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if *w.status == 0 {
		*w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(data []byte) (int, error) {
	if *w.status == 0 {
		*w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(data) //nolint:wrapcheck // net/http's error
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var inlineScript = regexp.MustCompile(`(?s)<script(?: type="text/javascript")?>(.*?)</script>`)

// docsPolicy returns the Content-Security-Policy of Swagger UI's page. It allows the page's own scripts only, the inline ones
// by their hashes.
func docsPolicy(ui http.Handler) string {
	page := &pageBuffer{header: http.Header{}}
	ui.ServeHTTP(page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/docs"}, Header: http.Header{}})
	var hashes strings.Builder
	for _, script := range inlineScript.FindAllSubmatch(page.Bytes(), -1) {
		sum := sha256.Sum256(script[1])
		fmt.Fprintf(&hashes, " 'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
	}
	return "default-src 'none'; script-src 'self'" + hashes.String() + "; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

// pageBuffer is a ResponseWriter that keeps the body.
type pageBuffer struct {
	bytes.Buffer
	header http.Header
}

// Header implements http.ResponseWriter.
func (p *pageBuffer) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *pageBuffer) WriteHeader(int) {}
