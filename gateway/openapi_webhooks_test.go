package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// TestOpenAPIDescribesWebhooks: every public event has a webhook, whose example and test delivery satisfy its schema.
func TestOpenAPIDescribesWebhooks(t *testing.T) {
	t.Parallel()
	data, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Webhooks map[string]struct {
			Post struct {
				Parameters  []struct{ Name, In string }
				RequestBody struct {
					Content map[string]struct {
						Schema  openapi3.Schema
						Example map[string]any
					}
				}
				Responses map[string]any
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if events := subjects.PublicEvents(); len(doc.Webhooks) != len(events) || len(events) == 0 {
		t.Errorf("%d webhooks for %d events", len(doc.Webhooks), len(events))
	}
	for _, e := range subjects.PublicEvents() {
		webhook := doc.Webhooks[e.Type].Post
		media := webhook.RequestBody.Content["application/json"]
		if media.Example["type"] != e.Type {
			t.Errorf("%s: the example is %v", e.Type, media.Example)
			continue
		}
		if err := media.Schema.VisitJSON(media.Example); err != nil {
			t.Errorf("%s: the example: %v", e.Type, err)
		}
		media.Example["test"], media.Example["data"].(map[string]any)["later"] = true, "a field of a later version"
		if err := media.Schema.VisitJSON(media.Example); err != nil {
			t.Errorf("%s: a test delivery with a further field: %v", e.Type, err)
		}
		delete(media.Example, "data")
		if err := media.Schema.VisitJSON(media.Example); err == nil {
			t.Errorf("%s: a delivery without data is valid", e.Type)
		}
		if len(webhook.Parameters) != 3 || webhook.Parameters[0].Name != "webhook-id" || webhook.Responses["2XX"] == nil || webhook.Responses["410"] == nil {
			t.Errorf("%s: headers %v, responses %v", e.Type, webhook.Parameters, webhook.Responses)
		}
	}
	var all openapi3.T
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for path, item := range all.Paths.Map() {
		for method, operation := range item.Operations() {
			if responses := operation.Responses; responses.Value("4XX") == nil || responses.Value("default") == nil {
				t.Errorf("%s %s does not describe its errors", method, path)
			}
			if operation.Description == "" {
				t.Errorf("%s %s has no description", method, path)
			}
		}
	}
}
