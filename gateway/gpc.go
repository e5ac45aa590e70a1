package gateway

import (
	"net/http"
	"slices"
)

const (
	// headerGPC and gpcOn are the field and the only value of the Global Privacy Control signal (W3C Global Privacy Control §3.3).
	headerGPC = "Sec-Gpc"
	gpcOn     = "1"
)

// signalsGPC reports whether a request has the signal: of several fields one that is exactly "1" suffices, and any other value counts as
// no field (W3C Global Privacy Control §3.3).
func signalsGPC(h http.Header) bool { return slices.Contains(h[headerGPC], gpcOn) }

// gpcSupport is /.well-known/gpc.json: the installation abides by the signal (W3C Global Privacy Control §4). lastUpdate is the day since
// which weft does so in this form.
var gpcSupport = []byte(`{"gpc":true,"lastUpdate":"2026-11-30"}`)

func handleGPCSupport(rc *requestContext) error {
	rc.write(http.StatusOK, typeJSON, gpcSupport)
	return nil
}
