package language

import (
	"fmt"
	"net/textproto"
	"slices"

	"golang.org/x/net/http/httpguts"
)

// ConnectionHeaders are the headers that belong to the connection, in canonical form: no call can set them.
var ConnectionHeaders = []string{"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// CheckHeader reports why a header cannot be sent: it belongs to the connection, or its name or value is not one of HTTP
// (RFC 9110 §5.1, §5.5, §7.6.1). The error names the header and does not quote the value.
func CheckHeader(name, value string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%.80q is not the name of a header", name)
	case slices.Contains(ConnectionHeaders, canonical):
		return fmt.Errorf("the header %s cannot be set: it belongs to the connection", canonical)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of the header %s has characters that HTTP does not allow", canonical)
	}
	return nil
}
