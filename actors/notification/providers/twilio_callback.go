package providers

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's signature is an HMAC-SHA-1
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// VerifyTwilio reports whether a request is Twilio's: signature is its X-Twilio-Signature, rawURL the URL that Twilio called, with its query, and
// form the fields of its body (Twilio: Webhooks security). The URL is also tried with and without the scheme's default port, since Twilio
// signs either.
func VerifyTwilio(authToken, rawURL string, form url.Values, signature string) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || authToken == "" || len(given) != sha1.Size {
		return false
	}
	ok := 0
	for _, candidate := range portVariants(rawURL) {
		ok |= subtle.ConstantTimeCompare(given, twilioMAC(authToken, candidate, form))
	}
	return ok == 1
}

// twilioMAC is the HMAC-SHA-1 of the URL and then the name and value of each field, by name. Repeated fields count once for each distinct
// value, in order.
func twilioMAC(authToken, rawURL string, form url.Values) []byte {
	h := hmac.New(sha1.New, []byte(authToken))
	h.Write([]byte(rawURL))
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			h.Write([]byte(name + value))
		}
	}
	return h.Sum(nil)
}

// portVariants are a URL as it is, with the default port of its scheme, and without it. The rest of the URL is not changed.
func portVariants(rawURL string) []string {
	variants := []string{rawURL}
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return variants
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	port := "443"
	if scheme == "http" {
		port = "80"
	}
	if host, given, err := net.SplitHostPort(authority); err == nil && given == port {
		return append(variants, scheme+"://"+host+path)
	} else if err != nil {
		return append(variants, scheme+"://"+authority+":"+port+path)
	}
	return variants
}

// Report is what a provider's callback says about a message.
type Report struct {
	// MessageID is the provider's id of the message (channel.Receipt).
	MessageID string
	// Delivered: the message has reached the recipient. Else it has failed with Class: Permanent for this message, Suppressed for the address.
	Delivered bool
	Class     channel.Class
	// Code is the provider's own code, Detail plain text.
	Code, Detail string
}

// TwilioCallback reads a status callback (Twilio: Message resource, MessageStatus and ErrorCode). ok is false for a status that decides
// nothing, such as sent.
func TwilioCallback(form url.Values) (r Report, ok bool) {
	r = Report{MessageID: form.Get("MessageSid"), Code: form.Get("ErrorCode")}
	if r.MessageID == "" {
		r.MessageID = form.Get("SmsSid")
	}
	if statusCode(0, r.Code) != "0 "+r.Code {
		r.Code = ""
	}
	switch form.Get("MessageStatus") {
	case "delivered", "read":
		r.Delivered, r.Code = true, ""
	case "undelivered", "failed":
		r.Class, r.Detail = channel.Permanent, "the message was not delivered"
		switch r.Code {
		case "21610":
			r.Class, r.Detail = channel.Suppressed, "the recipient has opted out"
		case "30005", "30006":
			r.Class, r.Detail = channel.Suppressed, "the number does not exist or cannot receive SMS"
		}
	default:
		return r, false
	}
	return r, r.MessageID != ""
}
