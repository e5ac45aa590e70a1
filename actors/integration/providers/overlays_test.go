//go:build conformance || specs

package providers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// overlay corrects a description where it contradicts the provider's documentation.
type overlay struct {
	providers []string
	why       string
	apply     func(*openapi3.T)
}

// overlays are the overlays of all providers, at most 25.
var overlays = slices.Concat(overlaysToGraph, overlaysToShops, overlaysToTools)

var overlaysToGraph = []overlay{
	{[]string{"slack"}, "the documentation requires Authorization: Bearer instead of the header `token`", func(doc *openapi3.T) {
		optionalParameters(doc, "token")
	}},
	{[]string{"trello"}, "key and token may be in the header Authorization", func(doc *openapi3.T) { optionalParameters(doc, "key", "token") }},
	{[]string{"gmail", "google_drive"}, "a message and a file's metadata may be sent as JSON, which the conversion from discovery lost", asJSONToo},
	{[]string{"google_analytics"}, "a {property} is properties/1234 and a {name} ends in /metadata: the conversion lost the slashes", func(doc *openapi3.T) {
		movePaths(doc, func(path string) string {
			if path == "/v1beta/{name}" {
				return "/v1beta/properties/{name}/metadata"
			}
			return strings.Replace(path, "/v1beta/{property}:", "/v1beta/properties/{property}:", 1)
		})
	}},
	{[]string{"bitbucket"}, "requests need not have the `type` that responses have", func(doc *openapi3.T) { optional(doc, "type") }},
	{[]string{"bitbucket"}, "every list has the parameters page and pagelen", func(doc *openapi3.T) { pagedBy(doc, "page", "pagelen") }},
	{[]string{"postmark"}, "a template is identified by its id or by its alias", func(doc *openapi3.T) { optional(doc, "TemplateAlias") }},
	{[]string{"sendgrid"}, "with a template, subject and content are optional", func(doc *openapi3.T) { optional(doc, "subject", "content") }},
	{[]string{"telegram"}, "parts that are an id or a name, or a file or a URL, are strings, and lists are JSON", func(doc *openapi3.T) {
		for _, fields := range partsOfForms(doc) {
			for _, field := range fields {
				if len(field.Value.AnyOf) > 0 || field.Value.Type.Is("array") {
					field.Value = openapi3.NewStringSchema()
				}
			}
		}
	}},
	{[]string{"telegram"}, "the description is that of Bot API 5.0; 6.1 adds secret_token", func(doc *openapi3.T) {
		for path, fields := range partsOfForms(doc) {
			if path == "/setWebhook" {
				fields["secret_token"] = openapi3.NewSchemaRef("", openapi3.NewStringSchema())
			}
		}
	}},
	{[]string{"outlook_mail", "onedrive"}, "the path of an action is /me/sendMail, without the prefix microsoft.graph.", shortNames},
	{[]string{"outlook_mail"}, "parameters of an action begin with a lower-case letter: message, not Message", smallNames},
	{[]string{"outlook_mail", "onedrive", "microsoft_teams"}, "only requests with attachments need @odata.type", noTypes},
	{[]string{"outlook_mail", "onedrive", "microsoft_teams"}, "next links have the parameter $skiptoken", skipTokens},
}

func TestNumberOfOverlays(t *testing.T) {
	t.Parallel()
	if len(overlays) > 25 {
		t.Errorf("got %d overlays, want at most 25", len(overlays))
	}
}

// pagedBy adds integer parameters to every GET operation.
func pagedBy(doc *openapi3.T, names ...string) {
	for _, item := range doc.Paths.Map() {
		if item.Get == nil {
			continue
		}
		for _, name := range names {
			if item.Get.Parameters.GetByInAndName("query", name) == nil {
				item.Get.Parameters = append(item.Get.Parameters, &openapi3.ParameterRef{Value: openapi3.NewQueryParameter(name).WithSchema(openapi3.NewIntegerSchema())})
			}
		}
	}
}

// asJSONToo allows JSON for every body.
func asJSONToo(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.RequestBody == nil || operation.RequestBody.Value.Content["application/json"] != nil {
				continue
			}
			for _, media := range operation.RequestBody.Value.Content {
				operation.RequestBody.Value.Content["application/json"] = media
				break
			}
		}
	}
}

// optionalParameters makes parameters optional in every operation.
func optionalParameters(doc *openapi3.T, names ...string) {
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, parameter := range operation.Parameters {
				if slices.Contains(names, parameter.Value.Name) {
					parameter.Value.Required = false
				}
			}
		}
	}
}

// partsOfForms returns the fields of the multipart body of each path.
func partsOfForms(doc *openapi3.T) map[string]openapi3.Schemas {
	found := map[string]openapi3.Schemas{}
	for path, item := range doc.Paths.Map() {
		if item.Post == nil || item.Post.RequestBody == nil {
			continue
		}
		if media := item.Post.RequestBody.Value.Content["multipart/form-data"]; media != nil {
			found[path] = media.Schema.Value.Properties
		}
	}
	return found
}

// optional makes fields optional in every request body and schema.
func optional(doc *openapi3.T, fields ...string) {
	visit := func(schemas []*openapi3.SchemaRef) {
		for _, schema := range parts(schemas) {
			schema.Value.Required = slices.DeleteFunc(schema.Value.Required, func(field string) bool { return slices.Contains(fields, field) })
		}
	}
	for _, schema := range doc.Components.Schemas {
		visit([]*openapi3.SchemaRef{schema})
	}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			for _, media := range operation.RequestBody.Value.Content {
				visit([]*openapi3.SchemaRef{media.Schema})
			}
		}
	}
}

// shortNames removes microsoft.graph. from paths.
func shortNames(doc *openapi3.T) {
	movePaths(doc, func(path string) string { return strings.Replace(path, "/microsoft.graph.", "/", 1) })
}

// smallNames changes the first letter of request fields to lower case.
func smallNames(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		if item.Post == nil || item.Post.RequestBody == nil {
			continue
		}
		for _, media := range item.Post.RequestBody.Value.Content {
			properties := openapi3.Schemas{}
			for name, property := range media.Schema.Value.Properties {
				properties[strings.ToLower(name[:1])+name[1:]] = property
			}
			media.Schema.Value.Properties = properties
		}
	}
}

// noTypes makes @odata.type optional, except for attachments.
func noTypes(doc *openapi3.T) {
	for name, schema := range doc.Components.Schemas {
		if name == "microsoft.graph.attachment" {
			continue
		}
		for _, part := range append(slices.Clone(schema.Value.AllOf), schema) {
			part.Value.Required = slices.DeleteFunc(part.Value.Required, func(field string) bool { return field == "@odata.type" })
		}
	}
}

// skipTokens adds $skiptoken to the operations that have $top.
func skipTokens(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		if item.Get == nil || item.Get.Parameters.GetByInAndName("query", "$top") == nil {
			continue
		}
		item.Get.Parameters = append(item.Get.Parameters, &openapi3.ParameterRef{Value: openapi3.NewQueryParameter("$skiptoken").WithSchema(openapi3.NewStringSchema())})
	}
}
