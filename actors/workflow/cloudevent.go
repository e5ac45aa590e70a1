package workflow

import (
	"encoding/base64"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// attributeName matches the names of attributes: CloudEvents 1.0 §3.1, with a bound on the length.
var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// maxAttribute bounds the text of an attribute, in bytes.
const maxAttribute = 1024

// The media types and the header prefix of the HTTP protocol binding of CloudEvents 1.0.
const (
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch+json"
	headerPrefix   = "ce-"
)

// cloudEvent is a CloudEvent 1.0, with values of the types that language.Normalize returns.
type cloudEvent map[string]any

// text returns an attribute that is a text; empty if it is missing or of another type.
func (e cloudEvent) text(attribute string) string {
	text, _ := e[attribute].(string)
	return text
}

// readEvent decodes the CloudEvent of a request: the field event, or a body in structured or binary mode (§3.1 and §3.2 of the HTTP
// protocol binding). An event of more than limit bytes is too_large. An event without a time gets now.
func readEvent(r subjects.PublishEventRequest, limit int, now time.Time) (cloudEvent, error) {
	if len(r.Event) > 0 {
		if len(r.Body) > 0 || len(r.Headers) > 0 {
			return nil, subjects.InvalidField("event", "cannot be combined with body and headers")
		}
		return structuredEvent(r.Event, limit, now)
	}
	headers := make(map[string]string, len(r.Headers))
	binary := false
	for name, value := range r.Headers {
		name = strings.ToLower(name)
		headers[name] = value
		binary = binary || name == headerPrefix+"specversion"
	}
	media, _, err := mime.ParseMediaType(headers["content-type"])
	switch {
	case err == nil && media == typeBatch:
	case binary:
		return binaryEvent(headers, media, r.Body, limit, now)
	case err == nil && (media == typeStructured || media == "application/json"):
		return structuredEvent(r.Body, limit, now)
	}
	return nil, subjects.Errorf(subjects.CodeUnsupportedMediaType,
		"send one event as %s, or its attributes as ce-… headers with its data as the body", typeStructured)
}

func structuredEvent(data []byte, limit int, now time.Time) (cloudEvent, error) {
	if len(data) > limit {
		return nil, errEventTooLarge(len(data), limit)
	}
	value, err := language.DecodeStrict(data)
	if err != nil {
		return nil, subjects.InvalidField("event", "cannot be read: %v", err)
	}
	object, isObject := value.(map[string]any)
	if !isObject {
		return nil, subjects.InvalidField("event", "must be a JSON object")
	}
	return checkEvent(object, now)
}

func errEventTooLarge(size, limit int) error {
	return subjects.Errorf(subjects.CodeTooLarge, "the event has %d bytes, the limit is %d", size, limit)
}

// binaryEvent decodes an event in binary mode: its attributes are headers, percent-encoded, and its data is the body.
func binaryEvent(headers map[string]string, media string, body []byte, limit int, now time.Time) (cloudEvent, error) {
	if len(body) > limit {
		return nil, errEventTooLarge(len(body), limit)
	}
	event := cloudEvent{}
	for name, value := range headers {
		attribute, ok := strings.CutPrefix(name, headerPrefix)
		if !ok {
			continue
		}
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		event[attribute] = value
	}
	if media != "" {
		event["datacontenttype"] = headers["content-type"]
	}
	switch {
	case len(body) == 0:
	case media == "application/json" || strings.HasSuffix(media, "+json") || media == "":
		data, err := language.DecodeStrict(body)
		if err != nil {
			return nil, subjects.InvalidField("body", "is declared as JSON and cannot be read: %v", err)
		}
		event["data"] = data
	case utf8.Valid(body) && (strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "xml")):
		event["data"] = string(body)
	default:
		event["data_base64"] = base64.StdEncoding.EncodeToString(body)
	}
	return checkEvent(event, now)
}

// checkEvent checks an event against CloudEvents 1.0 §3.1, and sets its time to now if it has none. An attribute that is null is
// removed.
func checkEvent(event cloudEvent, now time.Time) (cloudEvent, error) {
	if event["specversion"] != "1.0" {
		return nil, subjects.InvalidField("specversion", "must be 1.0")
	}
	for _, name := range []string{"id", "source", "type"} {
		if event.text(name) == "" {
			return nil, subjects.InvalidField(name, "is required and must be a text")
		}
	}
	for name, value := range event {
		if name == "data" || name == "data_base64" {
			continue
		}
		if !attributeName.MatchString(name) {
			return nil, subjects.InvalidField("event", "%.64q is not a valid attribute name: lower-case letters and digits, at most 64", name)
		}
		switch value := value.(type) {
		case string:
			if len(value) > maxAttribute {
				return nil, subjects.InvalidField(name, "has more than %d bytes", maxAttribute)
			}
		case nil:
			delete(event, name)
		case map[string]any, []any:
			return nil, subjects.InvalidField(name, "is an attribute, which cannot be an object or a list")
		}
	}
	if _, both := event["data"]; both && event["data_base64"] != nil {
		return nil, subjects.InvalidField("data_base64", "cannot be combined with data")
	}
	at, given := event["time"]
	if !given {
		event["time"] = now.UTC().Format(time.RFC3339Nano)
		return event, nil
	}
	text, _ := at.(string)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return nil, subjects.InvalidField("time", "must be a time as in RFC 3339")
	}
	return event, nil
}
