//go:build conformance

package providers_test

import (
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

var googleOverlays = []overlay{
	{"gmail", "a message may be sent as JSON with its raw form in base64url, which the conversion from discovery lost", asJSONToo},
	{"google_drive", "a file's metadata is JSON, which the conversion from discovery lost", asJSONToo},
	{"google_analytics", "a {property} is properties/1234 and a {name} ends in /metadata: the conversion lost the slashes", func(doc *openapi3.T) {
		move(doc, func(path string) string {
			if path == "/v1beta/{name}" {
				return "/v1beta/properties/{name}/metadata"
			}
			return strings.Replace(path, "/v1beta/{property}:", "/v1beta/properties/{property}:", 1)
		})
	}},
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

var googleBeyond = map[string][]string{
	"gmail":            {"get_attachment", "list_labels", "trash_message"},
	"google_analytics": {"run_pivot_report"},
	"google_calendar":  {"delete_event", "get_event"},
	"google_drive":     {"copy_file", "export_file", "get_file", "update_file"},
	"google_sheets":    {"clear_range", "get_spreadsheet", "read_ranges"},
}

var googleMutations = []mutation{
	{"wrong verb", "gmail", "modify_labels", "method: POST\n    path: /gmail/v1/users/me/messages/{id}/modify", "method: PATCH\n    path: /gmail/v1/users/me/messages/{id}/modify"},
	{"wrong path", "gmail", "send_email", "path: /gmail/v1/users/me/messages/send", "path: /gmail/v1/users/me/send"},
	{"renamed field", "gmail", "modify_labels", "json: ${ .input | del(.id) }", "json: {addLabels: [STARRED]}"},
	{"wrong type", "gmail", "modify_labels", "json: ${ .input | del(.id) }", "json: {addLabelIds: STARRED}"},
	{"wrong form of raw", "gmail", "send_email", `| join("\r\n") | @base64 | split("+") | join("-") | split("/") | join("_") }`, `| join("\r\n") }`},
	{"unknown query", "gmail", "list_messages", "query: ${ .input }", "query: {limit: 7}"},
	{"wrong enum", "gmail", "get_message", "query: ${ .input | del(.id) }", "query: {format: whole}"},
	{"wrong body kind", "gmail", "send_email", "      json:\n        threadId", "      form:\n        threadId"},
	{"wrong probe", "gmail", "health_probe", "path: /gmail/v1/users/me/profile", "path: /gmail/v1/users/me/profiles"},
	{"wrong verb", "google_calendar", "update_event", "method: PATCH", "method: POST"},
	{"wrong path", "google_calendar", "query_free_busy", "path: /freeBusy", "path: /freebusy"},
	{"field below", "google_calendar", "create_event", "json: ${ .input | del(.calendarId, .sendUpdates) }", `json: '${ .input | del(.calendarId, .sendUpdates) | .start = {at: "now"} }'`},
	{"type below", "google_calendar", "create_event", "json: ${ .input | del(.calendarId, .sendUpdates) }", `json: ${ .input | del(.calendarId, .sendUpdates) | .attendees[0].optional = "no" }`},
	{"path parameter in the body", "google_calendar", "update_event", "json: ${ .input | del(.calendarId, .eventId, .sendUpdates) }", "json: ${ .input | del(.calendarId, .sendUpdates) }"},
	{"unknown query", "google_calendar", "list_events", "query: ${ .input | del(.calendarId) }", "query: ${ .input }"},
	{"wrong query type", "google_calendar", "list_calendars", "query: ${ .input }", "query: {maxResults: many}"},
	{"wrong verb", "google_drive", "create_folder", "method: POST", "method: PUT"},
	{"wrong path", "google_drive", "share_file", "path: /files/{fileId}/permissions", "path: /files/{fileId}/permission"},
	{"wrong type", "google_drive", "create_file", "        mimeType: ${ .input.mimeType }\n        parents: '${ .input.parent | values | [.] }'", "        mimeType: ${ .input.mimeType }\n        parents: ${ .input.parent }"},
	{"unknown field", "google_drive", "create_folder", "        description: ${ .input.description }", "        comment: ${ .input.description }"},
	{"unknown query", "google_drive", "list_files", "      orderBy: ${", "      sortBy: ${"},
	{"wrong query type", "google_drive", "share_file", "supportsAllDrives: true}\n    body:\n      json: ${ .input | {role", "supportsAllDrives: maybe}\n    body:\n      json: ${ .input | {role"},
	{"wrong probe", "google_drive", "health_probe", "path: /about", "path: /abouts"},
	{"wrong verb", "google_sheets", "update_range", "method: PUT", "method: PATCH"},
	{"wrong path", "google_sheets", "append_rows", "{range}:append", "{range}/append"},
	{"wrong enum", "google_sheets", "append_rows", "valueInputOption: '${ .input.valueInputOption // \"RAW\" }', insert", "valueInputOption: TYPED, insert"},
	{"wrong type", "google_sheets", "append_rows", "json: {values: \"${ .input.values }\"", "json: {values: \"${ .input.values | tojson }\""},
	{"unknown field", "google_sheets", "create_spreadsheet", "properties: {title: \"${ .input.title }\"", "properties: {name: \"${ .input.title }\""},
	{"field below", "google_sheets", "create_spreadsheet", "map({properties: {title: .}})", "map({title: .})"},
	{"wrong verb", "google_analytics", "run_report", "method: POST", "method: PUT"},
	{"wrong path", "google_analytics", "run_realtime_report", ":runRealtimeReport\n    input", ":realtimeReport\n    input"},
	{"wrong type", "google_analytics", "run_report", "limit: ${ .input.limit | values | tostring }", "limit: ${ .input.limit }"},
	{"unknown field", "google_analytics", "run_report", "dateRanges: ${ .input.dateRanges }", "dates: ${ .input.dateRanges }"},
	{"field below", "google_analytics", "run_report", "map({name: .}) }\"\n        dimensionFilter", "map({metric: .}) }\"\n        dimensionFilter"},
}
