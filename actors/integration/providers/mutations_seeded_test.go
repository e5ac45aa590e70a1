//go:build conformance

package providers_test

import (
	"strings"
	"testing"
)

// seeded is a handwritten mutation of a manifest: a typical mistake that the description must reject. mutationsOf generates
// further mutations from the description.
type seeded struct{ name, provider, action, old, new string }

var seededMutations = []seeded{
	{"wrong verb", "slack", "send_message", "method: POST\n    path: /chat.postMessage", "method: PUT\n    path: /chat.postMessage"},
	{"wrong path", "slack", "update_message", "path: /chat.update", "path: /chat.updates"},
	{"missing field", "slack", "update_message", "        ts: ${ .input.ts }\n        text", "        text"},
	{"renamed field", "slack", "send_message", "        channel: ${ .input.channel }\n        text", "        chanel: ${ .input.channel }\n        text"},
	{"wrong type", "slack", "create_channel", "is_private: ${ .input.is_private }", "is_private: perhaps"},
	{"unknown query", "slack", "list_channels", "cursor: ${ .input.cursor }", "page: ${ .input.cursor }"},
	{"wrong query type", "slack", "list_channels", "limit: ${ .input.limit // 200 }", "limit: many"},
	{"wrong body kind", "slack", "create_channel", "      form:\n        name", "      json:\n        name"},
	{"wrong probe", "slack", "health_probe", "path: /auth.test", "path: /auth.tests"},
	{"wrong verb", "github", "create_issue", "method: POST\n    path: /repos/{owner}/{repo}/issues\n", "method: PATCH\n    path: /repos/{owner}/{repo}/issues\n"},
	{"wrong path", "github", "create_pull_request", "{repo}/pulls", "{repo}/pull"},
	{"missing field", "github", "create_comment", `json: {body: "${ .input.body }"}`, `json: {}`},
	{"wrong type", "github", "create_comment", `json: {body: "${ .input.body }"}`, `json: {body: 7}`},
	{"unknown field", "github", "create_pull_request", "json: ${ .input | del(.owner, .repo) }\n    output_schema: {type: object, properties: {id: {type: integer}, number: {type: integer}, html_url: {type: string}}}\n\n  dispatch", "json: ${ .input }\n\n  dispatch"},
	{"wrong parameter type", "github", "create_comment", "issue_number: 1347", "issue_number: 1347.5"},
	{"missing body", "github", "dispatch_workflow", "    body:\n      json: {ref: \"${ .input.ref }\", inputs: \"${ .input.inputs }\"}\n", ""},
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

func TestSeededMutationsAreRejected(t *testing.T) {
	t.Parallel()
	descriptions := map[string]description{}
	for _, s := range seededMutations {
		d, known := descriptions[s.provider]
		if !known {
			d = readDescription(t, conformanceFolder(), s.provider, caseOf(t, s.provider))
			descriptions[s.provider] = d
		}
		text := source(t, s.provider)
		if strings.Count(text, s.old) < 1 {
			t.Fatalf("%s %s: the manifest has no %q", s.name, s.action, s.old)
		}
		if !isRejected(t, d, caseOf(t, s.provider), strings.Replace(text, s.old, s.new, 1), s.action) {
			t.Errorf("%s of %s %s was not rejected", s.name, s.provider, s.action)
		}
	}
}
