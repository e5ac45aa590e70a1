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

// attributeName is the name of a CloudEvent's attribute.
var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// maxAttribute bounds an attribute that is text, in bytes.
const maxAttribute = 1024

const (
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch+json"
	headerPrefix   = "ce-"
)

// cloudEvent is a CloudEvent 1.0 as an object of the forms that language.Normalize gives.
type cloudEvent map[string]any

func (e cloudEvent) text(attribute string) string {
	text, _ := e[attribute].(string)
	return text
}

// readEvent takes a CloudEvent out of a request, in any of its modes.
func readEvent(r subjects.PublishEventRequest, limit int, now time.Time) (cloudEvent, error) {
	if len(r.Event) > 0 {
		if len(r.Body) > 0 || len(r.Headers) > 0 {
			return nil, subjects.InvalidField("event", "does not go with body and headers")
		}
		return structured(r.Event, limit, now)
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
		return structured(r.Body, limit, now)
	}
	return nil, subjects.Errorf(subjects.CodeUnsupportedMediaType,
		"send one event as %s, or its attributes as ce-… headers with its data as the body", typeStructured)
}

func structured(data []byte, limit int, now time.Time) (cloudEvent, error) {
	if len(data) > limit {
		return nil, tooLargeEvent(len(data), limit)
	}
	value, err := language.Decode(data)
	object, isObject := value.(map[string]any)
	if err != nil || !isObject {
		return nil, subjects.InvalidField("event", "is not a JSON object")
	}
	return checkEvent(object, now)
}

func tooLargeEvent(size, limit int) error {
	return subjects.Errorf(subjects.CodeTooLarge, "the event has %d bytes, the limit is %d", size, limit)
}

// binaryEvent reads the binary mode of the HTTP binding: attributes are headers, percent-encoded where they must be.
func binaryEvent(headers map[string]string, media string, body []byte, limit int, now time.Time) (cloudEvent, error) {
	if len(body) > limit {
		return nil, tooLargeEvent(len(body), limit)
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
		data, err := language.Decode(body)
		if err != nil {
			return nil, subjects.InvalidField("body", "is not JSON, as its Content-Type says")
		}
		event["data"] = data
	case utf8.Valid(body) && (strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "xml")):
		event["data"] = string(body)
	default:
		event["data_base64"] = base64.StdEncoding.EncodeToString(body)
	}
	return checkEvent(event, now)
}

// checkEvent applies the rules of CloudEvents 1.0. An event without a time gets the time of its arrival.
func checkEvent(event cloudEvent, now time.Time) (cloudEvent, error) {
	if event["specversion"] != "1.0" {
		return nil, subjects.InvalidField("specversion", "must be 1.0")
	}
	for _, name := range []string{"id", "source", "type"} {
		if event.text(name) == "" {
			return nil, subjects.InvalidField(name, "is required, and is text")
		}
	}
	for name, value := range event {
		if name == "data" || name == "data_base64" {
			continue
		}
		if !attributeName.MatchString(name) {
			return nil, subjects.InvalidField("event", "%.64q is not the name of an attribute: lower-case letters and digits", name)
		}
		switch value := value.(type) {
		case string:
			if len(value) > maxAttribute {
				return nil, subjects.InvalidField(name, "has more than %d bytes", maxAttribute)
			}
		case nil:
			delete(event, name)
		case map[string]any, []any:
			return nil, subjects.InvalidField(name, "is an attribute, and so neither an object nor a list")
		}
	}
	if _, both := event["data"]; both && event["data_base64"] != nil {
		return nil, subjects.InvalidField("data_base64", "does not go with data")
	}
	at, given := event["time"]
	if !given {
		event["time"] = now.UTC().Format(time.RFC3339Nano)
		return event, nil
	}
	text, _ := at.(string)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return nil, subjects.InvalidField("time", "is not a time of RFC 3339")
	}
	return event, nil
}
