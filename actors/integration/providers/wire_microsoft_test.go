package providers_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

var microsoftProviders = []string{"outlook_mail", "onedrive", "microsoft_teams"}

func TestMicrosoftErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		header []string
		want   manifest.CallError
	}{
		{401, `{"error":{"code":"InvalidAuthenticationToken","message":"Lifetime validation failed, the token is expired.","innerError":{"date":"2026-11-23T00:00:00"}}}`, nil,
			manifest.CallError{Class: manifest.ClassAuth, Expired: true, Code: "InvalidAuthenticationToken", Message: "Lifetime validation failed, the token is expired."}},
		{400, `{"error":{"code":"InvalidAuthenticationToken","message":"CompactToken parsing failed"}}`, nil,
			manifest.CallError{Class: manifest.ClassAuth, Expired: true, Code: "InvalidAuthenticationToken", Message: "CompactToken parsing failed"}},
		{403, `{"error":{"code":"ErrorAccessDenied","message":"Access is denied."}}`, nil,
			manifest.CallError{Class: manifest.ClassAuth, Code: "ErrorAccessDenied", Message: "Access is denied."}},
		{429, `{"error":{"code":"TooManyRequests","message":"Please retry again later."}}`, []string{"Retry-After", "12"},
			manifest.CallError{Class: manifest.ClassLimited, Code: "TooManyRequests", Message: "Please retry again later.", RetryAfter: 12 * time.Second}},
		{503, `{"error":{"code":"activityLimitReached","message":"Throttled"}}`, nil,
			manifest.CallError{Class: manifest.ClassLimited, Code: "activityLimitReached", Message: "Throttled"}},
		{509, ``, nil, manifest.CallError{Class: manifest.ClassLimited}},
		{404, `{"error":{"code":"itemNotFound","message":"Gone"}}`, nil, manifest.CallError{Class: manifest.ClassNotFound, Code: "itemNotFound", Message: "Gone"}},
		{409, `{"error":{"code":"nameAlreadyExists","message":"There"}}`, nil, manifest.CallError{Class: manifest.ClassConflict, Code: "nameAlreadyExists", Message: "There"}},
		{502, `[]`, nil, manifest.CallError{Class: manifest.ClassUnavailable}},
	} {
		c.want.Status = c.status
		for _, provider := range microsoftProviders {
			address, _ := serve(t, c.status, c.body, c.header...)
			if _, failed := call(t, provider, "", withToken(address), nil); failed == nil || *failed != c.want {
				t.Errorf("%s, %s: got %+v", provider, c.body, failed)
			}
		}
	}
}

func TestMicrosoftPages(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		provider, action, body string
		input                  map[string]any
		want                   string
	}{
		{"outlook_mail", "list_messages", `{"value":[{},{}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/me/messages?$top=2&$skip=4"}`, map[string]any{"top": 2, "skip": 2}, `{"skip":2,"skipToken":"skip:4","top":2}`},
		{"outlook_mail", "list_messages", `{"value":[{}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/me/messages?$search=%22x%22&$skiptoken=MSZ%3dVF"}`, map[string]any{"search": "x"}, `{"search":"x","skipToken":"MSZ=VF"}`},
		{"outlook_mail", "list_messages", `{"value":[{}]}`, nil, ``},
		{"onedrive", "list_children", `{"value":[{}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/x?$skiptoken=a%2fb&$top=1"}`, map[string]any{"driveId": "d"}, `{"driveId":"d","skipToken":"a/b"}`},
		{"onedrive", "list_children", `{"value":[{}]}`, map[string]any{"driveId": "d"}, ``},
		{"microsoft_teams", "list_chats", `{"value":[{}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/me/chats?%24top=1"}`, nil, ``},
		{"microsoft_teams", "list_chats", `{"value":[{}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/me/chats?$skipToken=t1"}`, nil, `{"skipToken":"t1"}`},
	} {
		a, _ := loaded[c.provider].Action(c.action)
		next, more, err := a.NextPage(withToken(""), c.input, manifest.Answer{Status: 200, Body: []byte(c.body)})
		if err != nil || more != (c.want != "") || more && asJSON(t, next) != c.want {
			t.Errorf("%s: got %v, %v, %v", c.body, next, more, err)
		}
		if more && a.ValidateInput(next) != nil {
			t.Errorf("%s: invalid input for the next page", c.body)
		}
	}
}

func TestMicrosoftRequests(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 202, "")
	output, failed := call(t, "outlook_mail", "send_mail", withToken(address), map[string]any{"to": []any{"g@example.com"}, "content": "<Hi>"})
	if failed != nil || asJSON(t, output) != `{"ok":true}` || last.path != "/me/sendMail" ||
		last.body != `{"message":{"body":{"content":"<Hi>","contentType":"text"},"toRecipients":[{"emailAddress":{"address":"g@example.com"}}]}}` {
		t.Errorf("got %v, %v, Outlook received %+v", output, failed, last)
	}
	if _, failed = call(t, "outlook_mail", "reply_to_message", withToken(address), map[string]any{"messageId": "a/b=", "comment": "Yes"}); failed != nil ||
		last.path != "/me/messages/a%2Fb=/reply" || last.body != `{"comment":"Yes"}` {
		t.Errorf("got %v, Outlook received %+v", failed, last)
	}
	address, last = serve(t, 200, `{"value":[]}`)
	if _, failed = call(t, "outlook_mail", "list_messages", withToken(address), map[string]any{"search": `say "hi" \`}); failed != nil || last.query.Get("$search") != `"say \"hi\" \\"` {
		t.Errorf("got %v, Outlook received %+v", failed, last.query)
	}
	if _, failed = call(t, "onedrive", "list_children", withToken(address), map[string]any{"driveId": "b!d"}); failed != nil || last.path != "/drives/b%21d/items/root/children" {
		t.Errorf("got %v, OneDrive received %s", failed, last.path)
	}
	address, last = serve(t, 201, `{"id":"1","webUrl":null}`)
	if _, failed = call(t, "onedrive", "write_file", withToken(address), map[string]any{"driveId": "d", "itemId": "i", "text": "é\n"}); failed != nil ||
		last.method != "PUT" || last.body != "é\n" || last.contentType != "application/octet-stream" {
		t.Errorf("got %v, OneDrive received %+v", failed, last)
	}
	if _, failed = call(t, "microsoft_teams", "send_channel_message", withToken(address), map[string]any{"teamId": "t", "channelId": "19:c@thread.tacv2", "content": "Hi"}); failed != nil ||
		last.path != "/teams/t/channels/19:c@thread.tacv2/messages" || last.body != `{"body":{"content":"Hi","contentType":"text"}}` {
		t.Errorf("got %v, Teams received %+v", failed, last)
	}
}
