//go:build conformance || specs

package providers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// overlay bends one thing of a vendor's description that the vendor's own documentation contradicts.
type overlay struct {
	providers []string
	why       string
	bend      func(*openapi3.T)
}

// overlays is every bend there is; there may be 25 for all providers.
var overlays = slices.Concat(overlaysToGraph, overlaysToShops, overlaysToTools)

var overlaysToGraph = []overlay{
	{[]string{"slack"}, "the header `token` stands for Authorization: Bearer, which the documentation asks for", func(doc *openapi3.T) {
		optionalParameters(doc, "token")
	}},
	{[]string{"trello"}, "key and token may stand in the header Authorization", func(doc *openapi3.T) { optionalParameters(doc, "key", "token") }},
	{[]string{"gmail", "google_drive"}, "a message and a file's metadata may be sent as JSON, which the conversion from discovery lost", asJSONToo},
	{[]string{"google_analytics"}, "a {property} is properties/1234 and a {name} ends in /metadata: the conversion lost the slashes", func(doc *openapi3.T) {
		move(doc, func(path string) string {
			if path == "/v1beta/{name}" {
				return "/v1beta/properties/{name}/metadata"
			}
			return strings.Replace(path, "/v1beta/{property}:", "/v1beta/properties/{property}:", 1)
		})
	}},
	{[]string{"bitbucket"}, "no request must name the `type` that answers have", func(doc *openapi3.T) { optional(doc, "type") }},
	{[]string{"bitbucket"}, "every list takes page and pagelen", func(doc *openapi3.T) { pagedBy(doc, "page", "pagelen") }},
	{[]string{"postmark"}, "a template is named by its id or by its alias", func(doc *openapi3.T) { optional(doc, "TemplateAlias") }},
	{[]string{"sendgrid"}, "with a template, neither subject nor content is needed", func(doc *openapi3.T) { optional(doc, "subject", "content") }},
	{[]string{"telegram"}, "among the parts of a form, what is an id or a name, a file or an address, is a text, and a list is JSON", func(doc *openapi3.T) {
		for _, fields := range partsOfForms(doc) {
			for _, field := range fields {
				if len(field.Value.AnyOf) > 0 || field.Value.Type.Is("array") {
					field.Value = openapi3.NewStringSchema()
				}
			}
		}
	}},
	{[]string{"telegram"}, "the description is of Bot API 5.0; 6.1 has secret_token", func(doc *openapi3.T) {
		for path, fields := range partsOfForms(doc) {
			if path == "/setWebhook" {
				fields["secret_token"] = openapi3.NewSchemaRef("", openapi3.NewStringSchema())
			}
		}
	}},
	{[]string{"outlook_mail", "onedrive"}, "an action is called /me/sendMail, without the microsoft.graph. of its metadata name", shortNames},
	{[]string{"outlook_mail"}, "an action's parameters begin with a small letter: message, not Message", smallNames},
	{[]string{"outlook_mail", "onedrive", "microsoft_teams"}, "no request but one with attachments must name its @odata.type", noTypes},
	{[]string{"outlook_mail", "onedrive", "microsoft_teams"}, "a next link names its page by $skiptoken", skipTokens},
}

func TestOverlaysAreFew(t *testing.T) {
	t.Parallel()
	if len(overlays) > 25 {
		t.Errorf("%d overlays", len(overlays))
	}
}

// pagedBy gives every list parameters that number its pages.
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

// asJSONToo lets a body that is described for other types be JSON.
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

// optionalParameters lets every operation do without parameters.
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

// partsOfForms are the fields of each path's multipart body.
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

// optional lets every request's object do without fields.
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

func shortNames(doc *openapi3.T) {
	move(doc, func(path string) string { return strings.Replace(path, "/microsoft.graph.", "/", 1) })
}

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

func skipTokens(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		if item.Get == nil || item.Get.Parameters.GetByInAndName("query", "$top") == nil {
			continue
		}
		item.Get.Parameters = append(item.Get.Parameters, &openapi3.ParameterRef{Value: openapi3.NewQueryParameter("$skiptoken").WithSchema(openapi3.NewStringSchema())})
	}
}
