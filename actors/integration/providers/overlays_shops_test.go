//go:build conformance || specs

package providers_test

import (
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

var overlaysToShops = []overlay{
	{[]string{"stripe"}, "kin-openapi cannot decode a list of objects in a form, or expand in a query; no action sends them", func(doc *openapi3.T) {
		for _, item := range doc.Paths.Map() {
			for _, operation := range item.Operations() {
				kept := openapi3.Parameters{}
				for _, parameter := range operation.Parameters {
					if parameter.Value.Name != "expand" {
						kept = append(kept, parameter)
					}
				}
				operation.Parameters = kept
				if body := operation.RequestBody; body != nil {
					delete(body.Value.Content["application/x-www-form-urlencoded"].Schema.Value.Properties, "tax_id_data")
				}
			}
		}
	}},
	{[]string{"aws_s3"}, "the conversion distinguishes operations of one path by a fragment, and splits the operation by page tokens", func(doc *openapi3.T) {
		list := doc.Paths.Value("/{Bucket}#list-type=2")
		for _, path := range doc.Paths.InMatchingOrder() {
			if strings.Contains(path, "#") {
				doc.Paths.Delete(path)
			}
		}
		doc.Paths.Set("/{Bucket}", list)
	}},
	{[]string{"aws_s3"}, "an object may have any content type, and a copy has no body", func(doc *openapi3.T) {
		body := doc.Paths.Value("/{Bucket}/{Key}").Put.RequestBody.Value
		body.Required = false
		body.Content["text/csv"] = openapi3.NewMediaType().WithSchema(openapi3.NewStringSchema())
	}},
	{[]string{"xero"}, "the path is /connections; paths are case-sensitive", func(doc *openapi3.T) {
		movePaths(doc, func(path string) string { return strings.Replace(path, "/Connections", "/connections", 1) })
	}},
	{[]string{"notion"}, "pages are created in a data source, which the description still calls a database", func(doc *openapi3.T) {
		parent := doc.Components.Schemas["dataSourceIdParentRequest"]
		if parent == nil {
			return
		}
		id := openapi3.NewSchemaRef("", openapi3.NewUUIDSchema())
		kind := openapi3.NewSchemaRef("", openapi3.NewStringSchema().WithEnum("data_source_id"))
		parent.Value.Properties = openapi3.Schemas{"data_source_id": id, "type": kind}
		parent.Value.Required = []string{"data_source_id"}
	}},
	{[]string{"notion"}, "icon, cover and blocks of a new page are JSON values, not strings of JSON", func(doc *openapi3.T) {
		if item := doc.Paths.Value("/v1/pages"); item != nil {
			page := item.Post.RequestBody.Value.Content["application/json"].Schema.Value.Properties
			page["children"].Value.Items = openapi3.NewSchemaRef("", openapi3.NewObjectSchema())
			page["icon"], page["cover"] = page["children"].Value.Items, page["children"].Value.Items
		}
	}},
	{[]string{"box"}, "files are uploaded to another host", func(doc *openapi3.T) {
		doc.AddServer(&openapi3.Server{URL: "https://upload.box.com/api/2.0"})
		for _, item := range doc.Paths.Map() {
			for _, operation := range item.Operations() {
				operation.Servers = nil
			}
		}
	}},
}
