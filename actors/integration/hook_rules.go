package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// The results of a delivery, as metrics count them.
const (
	deliveryAccepted  = "accepted"
	deliveryDuplicate = "duplicate"
	deliveryHandshake = "handshake"
	deliveryRefused   = "refused"
	deliveryStale     = "stale"
	deliveryNoSecret  = "no_secret"
	deliveryMalformed = "malformed"
	deliveryUnknown   = "unknown_hook"
	deliveryFailed    = "failed"
	// deliveryOverBudget is the result of one on which the manifest's expressions exceed their budget.
	deliveryOverBudget = "over_budget"
)

// budgetResult is the result of a delivery that was refused with err: that it exceeded a budget, or another.
func budgetResult(err error, other string) string {
	if errors.Is(err, manifest.ErrBudget) {
		return deliveryOverBudget
	}
	return other
}

// refusal is the error of a delivery for which the manifest's expressions failed with err.
func refusal(err error, detail string) error {
	if errors.Is(err, manifest.ErrBudget) {
		return &subjects.Error{Code: subjects.CodeTooLarge, Detail: err.Error(), Cause: err}
	}
	return &subjects.Error{Code: subjects.CodeInvalid, Detail: detail, Cause: err}
}

// errorResult is the result of a delivery that failed with err.
func errorResult(err error) string {
	switch subjects.CodeOf(err) {
	case subjects.CodeNotFound, subjects.CodeConflict:
		return deliveryUnknown
	case subjects.CodeInvalid, subjects.CodeTooLarge:
		return deliveryMalformed
	}
	return deliveryFailed
}

// deliveryKey is the key under which a hook remembers a delivery. Its length does not depend on the provider's ids.
func deliveryKey(kind, text string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + text))
	return hex.EncodeToString(sum[:])
}

// hookURL is a hook's URL at the gateway.
func hookURL(publicURL string, h hookRow) string {
	return strings.TrimSuffix(publicURL, "/") + "/v1/hooks/" + h.Provider + "/" + h.ID
}

// webhookRequest makes a delivery's request for verification, as the provider sent it to address.
func webhookRequest(address, method, query string, headers map[string][]string, body []byte) (webhook.Request, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return webhook.Request{}, subjects.Errorf(subjects.CodeInvalid, "the query is malformed")
	}
	r := webhook.Request{Method: method, URL: address, Query: values, Body: body, Header: make(http.Header, len(headers))}
	if query != "" {
		r.URL += "?" + query
	}
	for name, list := range headers {
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], list...)
	}
	return r.Decoded(), nil
}
