//go:build conformance

package providers_test

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// What Microsoft's description says of all of Graph, and its documentation says otherwise.
const (
	whyShortNames = "an action is called /me/sendMail, without the microsoft.graph. of its metadata name"
	whySmallNames = "an action's parameters begin with a small letter: message, not Message"
	whyNoTypes    = "no request but one with attachments must name its @odata.type"
	whySkipTokens = "a next link names its page by $skiptoken"
)

var microsoftOverlays = []overlay{
	{"outlook_mail", whyShortNames, shortNames},
	{"outlook_mail", whySmallNames, smallNames},
	{"outlook_mail", whyNoTypes, noTypes},
	{"outlook_mail", whySkipTokens, skipTokens},
	{"onedrive", whyShortNames, shortNames},
	{"onedrive", whyNoTypes, noTypes},
	{"onedrive", whySkipTokens, skipTokens},
	{"microsoft_teams", whyNoTypes, noTypes},
	{"microsoft_teams", whySkipTokens, skipTokens},
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

var microsoftBeyond = map[string][]string{
	"outlook_mail":    {"create_draft", "get_message", "move_message", "update_message"},
	"onedrive":        {"create_folder", "delete_item", "get_item", "update_item"},
	"microsoft_teams": {"list_channels", "list_chats", "reply_to_channel_message"},
}

var microsoftMutations = []mutation{
	{"wrong verb", "outlook_mail", "reply_to_message", "method: POST\n    path: /me/messages/{messageId}/reply", "method: PUT\n    path: /me/messages/{messageId}/reply"},
	{"wrong path", "outlook_mail", "send_mail", "path: /me/sendMail", "path: /me/sendmail"},
	{"renamed field", "outlook_mail", "send_mail", "saveToSentItems: ${ .input.saveToSentItems }", "saveInSentItems: ${ .input.saveToSentItems }"},
	{"field below", "outlook_mail", "send_mail", "toRecipients: \"${ .input.to | map({emailAddress: {address: .}}) }\"", "to: ${ .input.to }"},
	{"field far below", "outlook_mail", "send_mail", "toRecipients: \"${ .input.to | map({emailAddress: {address: .}}) }\"", "toRecipients: \"${ .input.to | map({emailAddress: {mail: .}}) }\""},
	{"wrong type", "outlook_mail", "send_mail", "saveToSentItems: ${ .input.saveToSentItems }", "saveToSentItems: perhaps"},
	{"wrong enum", "outlook_mail", "send_mail", "importance: ${ .input.importance }", "importance: utmost"},
	{"unknown query", "outlook_mail", "list_messages", "$top: ${ .input.top }", "$limit: ${ .input.top }"},
	{"wrong enum in the query", "outlook_mail", "list_messages", `$select: ${ .input.select | values | join(",") }`, "$select: sender_name"},
	{"wrong query type", "outlook_mail", "list_messages", "$top: ${ .input.top }", "$top: all"},
	{"wrong probe", "outlook_mail", "health_probe", "path: /me\n", "path: /myself\n"},
	{"wrong verb", "onedrive", "write_file", "method: PUT", "method: POST"},
	{"wrong path", "onedrive", "create_share_link", "{itemId}/createLink", "{itemId}/shareLink"},
	{"wrong type", "onedrive", "create_share_link", "json: ${ .input | del(.driveId, .itemId) }", "json: {type: view, retainInheritedPermissions: perhaps}"},
	{"unknown field", "onedrive", "create_share_link", "json: ${ .input | del(.driveId, .itemId) }", "json: ${ .input | del(.driveId) }"},
	{"wrong body kind", "onedrive", "write_file", "content_type: application/octet-stream", "content_type: text/plain"},
	{"wrong query", "onedrive", "list_children", "$orderby: ${ .input.orderby }", "$sort: ${ .input.orderby }"},
	{"wrong probe", "onedrive", "health_probe", "path: /me/drive\n  query", "path: /me/drives/mine\n  query"},
	{"wrong verb", "microsoft_teams", "send_chat_message", "method: POST\n    path: /chats/", "method: PUT\n    path: /chats/"},
	{"wrong path", "microsoft_teams", "list_joined_teams", "path: /me/joinedTeams", "path: /me/teams"},
	{"unknown field", "microsoft_teams", "create_channel", "json: {displayName:", "json: {name:"},
	{"wrong enum", "microsoft_teams", "create_channel", "membershipType: standard", "membershipType: open"},
	{"field below", "microsoft_teams", "send_channel_message", "content: \"${ .input.content }\"}", "text: \"${ .input.content }\"}"},
	{"wrong type", "microsoft_teams", "send_channel_message", "subject: ${ .input.subject }", "subject: 7"},
}
