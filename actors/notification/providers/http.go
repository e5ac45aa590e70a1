package providers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// maxAnswer bounds a provider's answer in bytes.
const maxAnswer = 64 << 10

// Deps are what every HTTP provider needs.
type Deps struct {
	Client *egress.Client
	// Now is the clock.
	Now func() time.Time
}

// call makes one request, without following redirects. A response of any status is returned; no response is an *channel.Error.
// public says that the server is one that a user chose: an address that may not be
// called is then a permanent failure.
func (d Deps) call(ctx context.Context, r egress.Request, public bool) (*egress.Response, error) {
	r.NoRedirect, r.MaxBody = true, maxAnswer
	response, err := d.Client.Do(ctx, r)
	if err == nil {
		return response, nil
	}
	var e *egress.Error
	if !errors.As(err, &e) {
		return nil, &channel.Error{Class: channel.Transient, Detail: "the request could not be made", Cause: err}
	}
	if !e.Sent && ctx.Err() != nil {
		return nil, notSent(ctx)
	}
	failed := &channel.Error{Class: channel.Transient, Code: string(e.Kind), Detail: noAnswer[e.Kind], Uncertain: e.Sent, Cause: err}
	switch e.Kind {
	case egress.KindInvalid, egress.KindScheme, egress.KindHost, egress.KindBlocked:
		failed.Uncertain = false
		if public && !e.Unresolved {
			failed.Class = channel.Permanent
		}
	}
	if failed.Detail == "" {
		failed.Detail = "the provider did not answer"
	}
	return nil, failed
}

// notSent is the error of an attempt whose context ended before anything was sent.
func notSent(ctx context.Context) *channel.Error {
	return &channel.Error{Class: channel.Transient, Code: "timeout", Detail: "the time for the attempt has ended before anything was sent", Cause: ctx.Err()}
}

// noAnswer says why there is no response, without the host.
var noAnswer = map[egress.Kind]string{
	egress.KindInvalid: "the provider's address is invalid", egress.KindScheme: "the provider's address is not https",
	egress.KindHost: "the provider's host is not allowed", egress.KindBlocked: "the provider's host does not resolve to an allowed address",
	egress.KindConnect: "the connection to the provider failed", egress.KindTimeout: "the provider did not answer in time",
	egress.KindDeadline: "the provider did not answer in time", egress.KindCanceled: "the attempt was ended",
	egress.KindTooLarge: "the provider's answer is too large", egress.KindTransport: "the connection to the provider broke",
	egress.KindCoding: "the provider's answer cannot be read",
}

// refusal is a provider's answer that is no acceptance.
type refusal struct {
	response *egress.Response
	// code is the provider's own code from the body; empty if there is none.
	code string
	// detail says what the code means; empty for a general text.
	detail string
	// class is what the code means; empty to go by the status.
	class channel.Class
	// config: the code is about the settings and not about the message. Another provider may accept it.
	config bool
}

// refused returns the error of a refusal.
//
// By status: 429, and 503 with Retry-After, are throttled; 401 and 403, every other 5xx and 3xx are transient; the rest is permanent. A 5xx
// without the provider's own code may be of a server before it (RFC 9110 §15.6.3, §15.6.5): the provider may have accepted the message.
func (d Deps) refused(r refusal) *channel.Error {
	status := r.response.Status
	after := egress.RetryAfter(r.response.Header, d.Now())
	e := &channel.Error{Class: r.class, Code: statusCode(status, r.code), Detail: r.detail}
	if e.Class == "" {
		switch {
		case r.config, status == http.StatusUnauthorized, status == http.StatusForbidden:
			e.Class = channel.Transient
		case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && after > 0:
			e.Class = channel.Throttled
		case status >= 500, status < 400, status == http.StatusRequestTimeout:
			e.Class = channel.Transient
			e.Uncertain = r.code == "" && status >= 500 && status != http.StatusServiceUnavailable
		default:
			e.Class = channel.Permanent
		}
	}
	if e.Class == channel.Throttled || e.Class == channel.Transient {
		e.RetryAfter = after
	}
	if e.Detail == "" {
		e.Detail = generalDetail(status, e.Class)
	}
	return e
}

func generalDetail(status int, class channel.Class) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "the provider does not accept the credentials"
	case status >= 300 && status < 400:
		return "the provider redirects, which is not followed"
	case class == channel.Throttled:
		return "the provider takes no more messages now"
	case status >= 500:
		return "the provider failed"
	case class == channel.Suppressed:
		return "the address is no longer valid"
	}
	return "the provider refused the message"
}

// statusCode joins a status and a provider's own code for the record. A code of other characters than letters, digits, dots, hyphens and
// underscores, or of more than 64, is left out.
func statusCode(status int, code string) string {
	text := strconv.Itoa(status)
	plain := func(c rune) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("._-", c)
	}
	if code == "" || len(code) > 64 || strings.IndexFunc(code, func(c rune) bool { return !plain(c) }) >= 0 {
		return text
	}
	return text + " " + code
}

// unreadable is an acceptance whose body cannot be read: the message may be accepted.
func unreadable(response *egress.Response) *channel.Error {
	return &channel.Error{
		Class: channel.Transient, Code: strconv.Itoa(response.Status), Detail: "the provider's answer cannot be read", Uncertain: true,
	}
}

// checkBaseURL returns a SettingError unless value is the address of an API: http or https, a host, neither user information, query nor
// fragment. Empty is the provider's own.
func checkBaseURL(setting, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return mesh.InvalidSetting(setting, "is %q, and must be the URL of an API, without user, query and fragment", value)
	}
	return nil
}

// required returns a SettingError if value is empty.
func required(setting, value, section string) error {
	if value != "" {
		return nil
	}
	return mesh.InvalidSetting(setting, "is empty, and must be set where %s is used", section)
}
