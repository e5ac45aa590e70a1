package webhooks

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weftmesh/weft/subjects"
)

const (
	// defaultPerMinute is the most attempts in a minute of a webhook that is not set to another number.
	defaultPerMinute = 60
	// webhookGroups is the number of groups of users, as in the migration.
	webhookGroups = 1024
	// maxWebhookHeaders, maxWebhookHeaderName and maxWebhookHeader bound the additional headers and the bytes of their names and values.
	maxWebhookHeaders    = 10
	maxWebhookHeaderName = 64
	maxWebhookHeader     = 1024
	// maxWebhookEvents bounds the event types that a webhook names.
	maxWebhookEvents = 50
	// allOf ends a prefix of event types.
	allOf = ".*"
)

// The delays before each attempt after the first. ScheduleDays is Svix's schedule with one further attempt after a day.
var schedules = map[string][]time.Duration{
	subjects.ScheduleDefault: {5 * time.Second, time.Minute, 10 * time.Minute, 45 * time.Minute},
	subjects.ScheduleDays: {
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	},
}

// webhookGroup returns the group of a user.
func webhookGroup(userID string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(userID))
	return strconv.Itoa(int(hash.Sum32() % webhookGroups))
}

// matchesType reports whether a webhook that names some event types takes one. No names take all.
func matchesType(names []string, eventType string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		if prefix, ok := strings.CutSuffix(name, allOf); ok {
			return strings.HasPrefix(eventType, prefix+".")
		}
		return name == eventType
	})
}

// checkWebhookEvents returns the event types of a request, sorted, or the error of one that matches no event.
func checkWebhookEvents(names []string) ([]string, error) {
	if len(names) > maxWebhookEvents {
		return nil, subjects.InvalidField("events", "has more than %d event types", maxWebhookEvents)
	}
	for i, name := range names {
		known := slices.ContainsFunc(subjects.PublicEvents(), func(d *subjects.PublicEventDescriptor) bool {
			return matchesType([]string{name}, d.Type)
		})
		if !known {
			return nil, subjects.InvalidField(fmt.Sprintf("events[%d]", i), "%.80q is no event type and no prefix of one; see GET /v1/webhooks/event-types", name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}

// checkWebhookURL checks the form of an address and returns it without its fragment, which no request has.
func checkWebhookURL(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme == "" || u.Hostname() == "" || u.Opaque != "":
		return "", subjects.InvalidField("url", "is no absolute URL")
	case u.User != nil:
		return "", subjects.InvalidField("url", "contains user information; give credentials as headers")
	case len(address) > 2048:
		return "", subjects.InvalidField("url", "is longer than 2048 bytes")
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String(), nil
}

// refusedHeaders are the headers that weft, the connection or the signature sets (RFC 9110 §7.6.1).
var refusedHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Expect", "Host", "Http2-Settings", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

// checkWebhookHeaders returns the additional headers under their canonical names.
func checkWebhookHeaders(headers map[string]subjects.SecretText) (map[string]string, error) {
	if len(headers) > maxWebhookHeaders {
		return nil, subjects.InvalidField("headers", "has more than %d headers", maxWebhookHeaders)
	}
	checked := make(map[string]string, len(headers))
	for name, value := range headers {
		field, canonical := "headers."+name, http.CanonicalHeaderKey(name)
		_, twice := checked[canonical]
		switch {
		case len(name) > maxWebhookHeaderName || !httpguts.ValidHeaderFieldName(name):
			return nil, subjects.InvalidField("headers", "%.80q is no header name of at most %d bytes", name, maxWebhookHeaderName)
		case slices.Contains(refusedHeaders, canonical) || strings.HasPrefix(canonical, "Webhook-") || strings.HasPrefix(canonical, "Svix-"):
			return nil, subjects.InvalidField(field, "is set by weft or belongs to the connection")
		case len(value) > maxWebhookHeader || !httpguts.ValidHeaderFieldValue(string(value)):
			return nil, subjects.InvalidField(field, "has a value that is longer than %d bytes or has control characters", maxWebhookHeader)
		case twice:
			return nil, subjects.InvalidField(field, "occurs twice")
		}
		checked[canonical] = string(value)
	}
	return checked, nil
}

// perMinute returns the attempts in a minute that a webhook is set to, or the default.
func (c Config) perMinute(n int) (int, error) {
	if n == 0 {
		return min(defaultPerMinute, c.MaxPerMinute), nil
	}
	if n < 1 || n > c.MaxPerMinute {
		return 0, subjects.InvalidField("per_minute", "must be between 1 and %d (notification.webhooks.max_per_minute)", c.MaxPerMinute)
	}
	return n, nil
}
