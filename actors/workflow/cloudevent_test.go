package workflow

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// TestReadEvent decodes events in every mode, and refuses those that are not valid CloudEvents 1.0.
func TestReadEvent(t *testing.T) {
	t.Parallel()
	// required has the required attributes and a time.
	const required = `"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","time":"2026-01-01T00:00:00Z"`
	binary := func(contentType, body string, more ...string) subjects.PublishEventRequest {
		headers := map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/shop", "Ce-Type": "order.placed", "Ce-Time": "2026-01-01T00:00:00Z", "Accept": "*/*",
		}
		if contentType != "" {
			headers["Content-Type"] = contentType
		}
		for i := 0; i+1 < len(more); i += 2 {
			headers[more[i]] = more[i+1]
		}
		return subjects.PublishEventRequest{Body: []byte(body), Headers: headers}
	}
	posted := func(contentType, body string) subjects.PublishEventRequest {
		return subjects.PublishEventRequest{Body: []byte(body), Headers: map[string]string{"Content-Type": contentType}}
	}
	given := func(event string) subjects.PublishEventRequest {
		return subjects.PublishEventRequest{Event: json.RawMessage(event)}
	}
	for _, test := range []struct {
		name    string
		request subjects.PublishEventRequest
		want    string
		code    subjects.Code
	}{
		{"structured", posted("application/cloudevents+json; charset=utf-8", `{`+required+`,"data":{"n":1.50}}`), `{"data":{"n":1.5},` + requiredSorted + `}`, ""},
		{"structured as plain JSON", posted("application/json", `{`+required+`}`), `{` + requiredSorted + `}`, ""},
		{"over NATS", given(`{` + required + `,"data":null}`), `{"data":null,` + requiredSorted + `}`, ""},
		{"an extension that is null is absent", given(`{` + required + `,"partitionkey":null}`), `{` + requiredSorted + `}`, ""},
		{"a time is added", given(`{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed"}`), `{` + requiredSorted + `}`, ""},
		{"binary", binary("application/json", `{"n":1}`, "Ce-Partitionkey", "a%20b%E2%82%AC"),
			`{"data":{"n":1},"datacontenttype":"application/json","id":"1","partitionkey":"a b€","source":"/shop","specversion":"1.0","time":"2026-01-01T00:00:00Z","type":"order.placed"}`, ""},
		{"binary text", binary("text/plain", "hello"), `{"data":"hello","datacontenttype":"text/plain",` + requiredSorted + `}`, ""},
		{"binary bytes", binary("image/png", "\x89PNG"), `{"data_base64":"iVBORw==","datacontenttype":"image/png",` + requiredSorted + `}`, ""},
		{"binary without data", binary("", ""), `{` + requiredSorted + `}`, ""},
		{"batch", posted("application/cloudevents-batch+json", `[]`), "", subjects.CodeUnsupportedMediaType},
		{"no event", posted("text/plain", "hello"), "", subjects.CodeUnsupportedMediaType},
		{"nothing", subjects.PublishEventRequest{}, "", subjects.CodeUnsupportedMediaType},
		{"both", subjects.PublishEventRequest{Event: json.RawMessage(`{` + required + `}`), Body: []byte("x")}, "", subjects.CodeInvalid},
		{"another version", given(`{"specversion":"0.3","id":"1","source":"s","type":"t"}`), "", subjects.CodeInvalid},
		{"no id", given(`{"specversion":"1.0","id":"","source":"s","type":"t"}`), "", subjects.CodeInvalid},
		{"a number for a type", given(`{"specversion":"1.0","id":"1","source":"s","type":4}`), "", subjects.CodeInvalid},
		{"a bad name", given(`{` + required + `,"Partition-Key":"x"}`), "", subjects.CodeInvalid},
		{"an object for an attribute", given(`{` + required + `,"partitionkey":{}}`), "", subjects.CodeInvalid},
		{"a bad time", given(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"yesterday"}`), "", subjects.CodeInvalid},
		{"two kinds of data", given(`{` + required + `,"data":1,"data_base64":"AA=="}`), "", subjects.CodeInvalid},
		{"not JSON", binary("application/json", `{"n":`), "", subjects.CodeInvalid},
		{"a long attribute", given(`{` + required + `,"subject":"` + strings.Repeat("x", 1025) + `"}`), "", subjects.CodeInvalid},
		{"too large", given(`{` + required + `,"data":"` + strings.Repeat("x", 4096) + `"}`), "", subjects.CodeTooLarge},
	} {
		event, err := readEvent(test.request, 4096, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if subjects.CodeOf(err) != test.code {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
			continue
		}
		if err != nil {
			continue
		}
		if got := string(language.Canonical(map[string]any(event))); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

// requiredSorted has the required attributes and the time, in the order of canonical JSON.
const requiredSorted = `"id":"1","source":"/shop","specversion":"1.0","time":"2026-01-01T00:00:00Z","type":"order.placed"`
