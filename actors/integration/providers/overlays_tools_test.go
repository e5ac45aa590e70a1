//go:build conformance || specs

package providers_test

import (
	"github.com/getkin/kin-openapi/openapi3"
)

var overlaysToTools = []overlay{
	{[]string{"pagerduty"}, "a request without a body has no Content-Type", func(doc *openapi3.T) { optionalParameters(doc, "Content-Type") }},
	{[]string{"pagerduty"}, "as in the examples, requests have ids and types that the description declares read-only, and the body of an incident is a string with a type", func(doc *openapi3.T) {
		for name, schema := range doc.Components.Schemas {
			for _, part := range parts([]*openapi3.SchemaRef{schema}) {
				for _, field := range part.Value.Properties {
					field.Value.ReadOnly = false
				}
				if name == "IncidentBody" && part.Value.Properties != nil {
					part.Value.Properties["type"] = openapi3.NewSchemaRef("", openapi3.NewStringSchema().WithEnum("incident_body"))
					part.Value.Properties["details"] = openapi3.NewSchemaRef("", openapi3.NewStringSchema())
				}
			}
		}
	}},
	{[]string{"sentry"}, "an update of an issue contains only the changed fields", func(doc *openapi3.T) {
		for _, item := range doc.Paths.Map() {
			if item.Put == nil {
				continue
			}
			issue := item.Put.RequestBody.Value.Content["application/json"].Schema
			for _, part := range parts([]*openapi3.SchemaRef{issue, issue.Value.Properties["statusDetails"]}) {
				part.Value.Required = nil
			}
		}
	}},
	{[]string{"gitlab"}, "every list has the parameters page and per_page", func(doc *openapi3.T) { pagedBy(doc, "page", "per_page") }},
}
