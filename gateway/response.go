package gateway

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Shared header values. Nothing may append to them.
var (
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
	hsts        = []string{"max-age=31536000"}
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
)

// setHeader sets a response header. The name must be in canonical form.
func (rc *requestContext) setHeader(name, value string) {
	if rc.headersUsed == len(rc.headerValues) {
		rc.w.Header()[name] = []string{value}
		return
	}
	rc.headerValues[rc.headersUsed] = value
	rc.w.Header()[name] = rc.headerValues[rc.headersUsed : rc.headersUsed+1 : rc.headersUsed+1]
	rc.headersUsed++
}

// addHeader appends an item to a response header that is a list.
func (rc *requestContext) addHeader(name, value string) {
	if h := rc.w.Header(); len(h[name]) > 0 {
		h[name] = append(h[name], value)
		return
	}
	rc.setHeader(name, value)
}

// setCommonHeaders sets the request id, the security headers and the CORS headers of every response.
func (rc *requestContext) setCommonHeaders() {
	h := rc.w.Header()
	rc.setHeader("X-Request-Id", rc.id)
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if rc.r.TLS != nil {
		h["Strict-Transport-Security"] = hsts
	}
	if origins := rc.r.Header["Origin"]; len(origins) > 0 {
		rc.g.setCORSHeaders(h, origins[0])
	}
}

// autoContentLength is a body size in bytes up to which net/http sets Content-Length itself.
const autoContentLength = 2000

// write writes a complete response. contentType is a shared value, nil for none.
func (rc *requestContext) write(status int, contentType []string, body []byte) {
	rc.status = status
	h := rc.w.Header()
	if contentType != nil {
		h["Content-Type"] = contentType
	}
	if status == http.StatusNoContent {
		rc.w.WriteHeader(status)
		return
	}
	if rc.writeCompressed(status, body) {
		return
	}
	head := rc.r.Method == http.MethodHead
	if head || len(body) > autoContentLength {
		rc.setHeader("Content-Length", strconv.Itoa(len(body)))
	}
	rc.w.WriteHeader(status)
	if !head {
		// A write error means that the client has disconnected.
		_, _ = rc.w.Write(body)
	}
}

// writeProblem writes an error as a problem (RFC 9457), unless the response has started.
func (rc *requestContext) writeProblem(err error) {
	if rc.status != 0 {
		return
	}
	p := rc.problemOf(err)
	h := rc.w.Header()
	if p.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.RetryAfter)}
	}
	if p.Code == subjects.CodeUnauthenticated {
		h["Www-Authenticate"] = []string{challenge(rc.caller.authErr != nil)}
	}
	body, e := subjects.Encode(p)
	if e != nil {
		rc.g.Telemetry.Log.Error("encoding a problem", zap.Error(e))
	}
	rc.write(p.Status, typeProblem, body)
}

// problemOf returns an error as a problem of this request.
func (rc *requestContext) problemOf(err error) subjects.Problem {
	return subjects.ProblemOf(err, rc.id, mesh.TraceID(rc.ctx))
}

// challenge returns the value of WWW-Authenticate (RFC 6750 §3).
func challenge(invalidToken bool) string {
	if invalidToken {
		return `Bearer realm="weft", error="invalid_token"`
	}
	return `Bearer realm="weft"`
}

// logFields are reused between log lines.
var logFields = sync.Pool{New: func() any { return new([11]zap.Field) }}

// record records the request's metrics and writes its log line.
func (rc *requestContext) record(err error, took time.Duration) {
	code := subjects.CodeOf(err)
	rc.op.metrics.Observe(string(code), took)
	if rc.op.quiet && err == nil {
		return
	}
	level := zap.InfoLevel
	if code == subjects.CodeInternal {
		level = zap.ErrorLevel
	}
	entry := rc.g.requestLog.Check(level, "http")
	if entry == nil {
		return
	}
	fields := logFields.Get().(*[11]zap.Field)
	*fields = [11]zap.Field{
		zap.String("request_id", rc.id), zap.String("trace_id", mesh.TraceID(rc.ctx)), zap.String("endpoint", rc.op.name),
		zap.String("method", rc.r.Method), zap.String("route", rc.op.route), zap.String("caller", rc.caller.String()),
		zap.String("client", clientText(rc.caller.address)),
		zap.Int("status", rc.status), zap.String("code", string(code)), zap.Duration("took", took), zap.Skip(),
	}
	if err != nil {
		fields[10] = zap.Error(err)
	}
	entry.Write(fields[:]...)
	*fields = [11]zap.Field{}
	logFields.Put(fields)
}

// clientText is a client's address as the log has it; empty if it is not known.
func clientText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}
