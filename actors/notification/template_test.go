package notification_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// admin returns the credentials of an admin.
func (f *fixture) admin(t *testing.T) mesh.As {
	t.Helper()
	return mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))}
}

// speaks makes the stand-in for auth answer with a locale for every user.
func (f *fixture) speaks(locale string) {
	f.setContact(func(id string) (subjects.Contact, error) {
		return subjects.Contact{UserID: id, Email: id + "@example.com", FirstName: "Ada", Locale: locale, TimeZone: "Europe/Berlin"}, nil
	})
}

// jsonData decodes an object.
func jsonData(t *testing.T, object string) (data map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(object), &data); err != nil {
		t.Fatal(err)
	}
	return data
}

// put stores a message and returns its version.
func (f *fixture) put(t *testing.T, as mesh.As, r subjects.PutTemplateRequest) int {
	t.Helper()
	return call(t, f, subjects.PutTemplate, as, r).Version
}

// sendTemplate sends a template at a time and returns the notification's id.
func (f *fixture) sendTemplate(t *testing.T, as mesh.As, id, data string, at *time.Time, channels ...string) string {
	t.Helper()
	return call(t, f, subjects.SendNotification, as, subjects.SendNotificationRequest{
		Category: "system", Template: id, Data: jsonData(t, data), Channels: channels, SendAt: at,
	}).NotificationID
}

// TestTemplateIsRenderedInTheReadersLanguage: the inbox and the mail have the text of the language, and the notification its version.
func TestTemplateIsRenderedInTheReadersLanguage(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		admin, ada := f.admin(t), f.user(t, actortest.User())
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "order", Subject: "Order {{order.id}}", Text: "Dear {{user.first_name}}, {{currency order.total \"EUR\"}}."})
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "order", Locale: "DE", Subject: "x", Text: "x"})
		f.put(t, admin, subjects.PutTemplateRequest{
			TemplateID: "order", Locale: "de", Subject: "Bestellung {{order.id}}\n", Text: "Hallo {{user.first_name}}: {{currency order.total \"EUR\"}}, {{app.name}} {{notification.channel}}",
		})
		const data = `{"order": {"id": "A\r\nBcc: eve@example.com", "total": 1234.5}}`
		for locale, want := range map[string]struct {
			subject, text, locale string
			version               int
		}{
			"de-CH": {"Bestellung A Bcc: eve@example.com", "Hallo Ada: €\u00a01’234.50, weft ", "de", 2},
			"de":    {"Bestellung A Bcc: eve@example.com", "Hallo Ada: 1.234,50\u00a0€, weft ", "de", 2},
			"fr":    {"Order A Bcc: eve@example.com", "Dear Ada, €1,234.50.", "en", 1},
		} {
			f.speaks(locale)
			before := len(f.sink.Mails())
			n := f.await(t, ada, f.sendTemplate(t, ada, "order", data, nil, "in_app", "email"), "delivered")
			body := want.text
			if want.locale == "de" {
				body += "in_app"
			}
			if n.Subject != want.subject || n.Body != body || n.Template != "order" {
				t.Errorf("%s: %q, %q", locale, n.Subject, n.Body)
			}
			for _, d := range n.Channels {
				if d.TemplateVersion != want.version || d.Locale != want.locale {
					t.Errorf("%s: %+v", locale, d)
				}
			}
			mails := f.sink.Mails()[before:]
			if len(mails) != 1 || len(mails[0].Header["Bcc"]) > 0 || !strings.Contains(mails[0].Header.Get("Subject"), "A Bcc: eve") {
				t.Errorf("%s: mails %+v", locale, mails)
			}
		}
	})
}

// TestScheduledNotificationsKeepTheirVersion: what was accepted is rendered with the templates, partials and layouts as they were then, after
// changes and after their deletion.
func TestScheduledNotificationsKeepTheirVersion(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		admin, ada := f.admin(t), f.user(t, actortest.User())
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "footer", Kind: "partial", Text: "first footer"})
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "frame", Kind: "layout", Text: "[{{{body}}}]"})
		message := subjects.PutTemplateRequest{TemplateID: "news", Subject: "s", Text: "first {{x}}, {{> footer}}", Layout: "frame"}
		f.put(t, admin, message)
		later := clock.Now().Add(5 * time.Minute)
		first := f.sendTemplate(t, ada, "news", `{"x": 1}`, &later, "in_app")
		message.Text = "second {{x}}, {{> footer}}"
		if version := f.put(t, admin, message); version != 2 {
			t.Errorf("version %d, want 2", version)
		}
		second := f.sendTemplate(t, ada, "news", `{"x": 2}`, &later, "in_app")
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "footer", Kind: "partial", Text: "second footer"})
		third := f.sendTemplate(t, ada, "news", `{"x": 3}`, &later, "in_app")
		for _, id := range []string{"footer", "frame"} {
			err := wantCode(t, f.conn, subjects.CodeConflict, subjects.DeleteTemplate, admin, subjects.DeleteTemplateRequest{TemplateID: id})
			if err.Reason != subjects.ReasonInUse || !strings.Contains(err.Detail, "news") {
				t.Errorf("deleting %s: %v", id, err)
			}
		}
		for _, id := range []string{"news", "footer", "frame"} {
			call(t, f, subjects.DeleteTemplate, admin, subjects.DeleteTemplateRequest{TemplateID: id})
		}
		wantCode(t, f.conn, subjects.CodeInvalid, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Template: "news"})
		clock.Advance(6 * time.Minute)
		for id, want := range map[string]string{first: "[first 1, first footer]", second: "[second 2, first footer]", third: "[second 3, second footer]"} {
			if n := f.await(t, ada, id, "delivered"); n.Body != want {
				t.Errorf("%q, want %q", n.Body, want)
			}
		}
		if version := f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "news", Subject: "s", Text: "t"}); version != 4 {
			t.Errorf("after a deletion the next version is %d, want 4", version)
		}
	})
}

// TestIndirectUses: a partial cannot be changed so that a message no longer works which uses it by way of another one, in another language
// than that one, at a greater depth, or in its layout.
func TestIndirectUses(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	admin := f.admin(t)
	for i := 8; i > 0; i-- {
		text := fmt.Sprintf("{{> p%d}}", i+1)
		if i == 8 {
			text = "leaf"
		}
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: fmt.Sprint("p", i), Kind: "partial", Text: text})
	}
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "frame", Kind: "layout", Text: "{{> p8}}"})
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "deep", Locale: "de", Subject: "s", Text: "{{> p1}}"})
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "framed", Locale: "de", Subject: "s", Text: "t", Layout: "frame"})
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "extra", Kind: "partial", Text: "x"})
	for user, r := range map[string]subjects.PutTemplateRequest{
		"deep\" (de)":    {TemplateID: "p8", Kind: "partial", Locale: "de", HTML: "no text"},
		"deep\" (de): t": {TemplateID: "p8", Kind: "partial", Text: "{{> extra}}"},
	} {
		if err := wantCode(t, f.conn, subjects.CodeConflict, subjects.PutTemplate, admin, r); err.Reason != subjects.ReasonInUse || !strings.Contains(err.Detail, user) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	call(t, f, subjects.DeleteTemplate, admin, subjects.DeleteTemplateRequest{TemplateID: "deep"})
	err := wantCode(t, f.conn, subjects.CodeConflict, subjects.PutTemplate, admin, subjects.PutTemplateRequest{TemplateID: "p8", Kind: "partial", Locale: "de", HTML: "no text"})
	if !strings.Contains(err.Detail, "framed") {
		t.Errorf("in a layout: %v", err)
	}
}

// TestShippedTemplatesAreOverridden: put_template replaces a shipped text in one language, delete_template brings it back.
func TestShippedTemplatesAreOverridden(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { c.Templates.AppName = "Acme" })
		admin, ada := f.admin(t), f.user(t, actortest.User())
		subject := func(locale string) string {
			f.speaks(locale)
			id := f.sendTemplate(t, ada, subjects.TemplateMFAOn, `{}`, nil, "in_app")
			n := f.get(t, ada, id)
			return n.Subject + "|" + fmt.Sprint(n.Channels[0].TemplateVersion) + "|" + fmt.Sprint(strings.Contains(n.Body, "Acme"))
		}
		const english, german = "Your authenticator is on|0|true", "Ihre Authenticator-App ist aktiviert|0|true"
		if en, de := subject("en-GB"), subject("de-AT"); en != english || de != german {
			t.Errorf("shipped: %q, %q", en, de)
		}
		got := call(t, f, subjects.GetTemplate, admin, subjects.TemplateRequest{TemplateID: subjects.TemplateMFAOn, Locale: "de"})
		if !got.Shipped || got.Version != 0 || !strings.Contains(got.Text, "{{app.name}}") {
			t.Errorf("get: %+v", got)
		}
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.DeleteTemplate, admin, subjects.DeleteTemplateRequest{TemplateID: subjects.TemplateMFAOn})
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: subjects.TemplateMFAOn, Locale: "de", Subject: "Eigener Betreff", Text: "Acme"})
		if en, de := subject("en-GB"), subject("de-AT"); en != english || de != "Eigener Betreff|1|true" {
			t.Errorf("overridden: %q, %q", en, de)
		}
		call(t, f, subjects.DeleteTemplate, admin, subjects.DeleteTemplateRequest{TemplateID: subjects.TemplateMFAOn, Locale: "de", ExpectedVersion: 1})
		if de := subject("de"); de != german {
			t.Errorf("after deletion: %q", de)
		}
	})
}

// TestPutTemplateRefuses: what is not in the subset, with line and column; what does not exist; what others need.
func TestPutTemplateRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.Templates.MaxTemplates = 3 })
	admin := f.admin(t)
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "footer", Kind: "partial", Text: "f"})
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "uses", Subject: "s", Text: "{{> footer}}"})
	one := 1
	for name, test := range map[string]struct {
		request      subjects.PutTemplateRequest
		code         subjects.Code
		field        string
		line, column int
	}{
		"no text":              {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s"}, subjects.CodeInvalid, "text", 0, 0},
		"no subject":           {subjects.PutTemplateRequest{TemplateID: "a", Text: "t"}, subjects.CodeInvalid, "subject", 0, 0},
		"helper":               {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "ü\n  {{lookup a b}}"}, subjects.CodeInvalid, "text", 2, 5},
		"subject":              {subjects.PutTemplateRequest{TemplateID: "a", Subject: "é {{{x}}}", Text: "t"}, subjects.CodeInvalid, "subject", 1, 3},
		"html":                 {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", HTML: "<p>{{#each x}}", Text: "t"}, subjects.CodeInvalid, "html", 1, 4},
		"unknown partial":      {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "a\n{{> nobody}}"}, subjects.CodeInvalid, "text", 2, 5},
		"partial without html": {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", HTML: "{{> footer}}"}, subjects.CodeInvalid, "html", 1, 5},
		"unknown layout":       {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "t", Layout: "footer"}, subjects.CodeInvalid, "layout", 0, 0},
		"recursion":            {subjects.PutTemplateRequest{TemplateID: "footer", Kind: "partial", Text: "{{> footer}}"}, subjects.CodeInvalid, "text", 1, 5},
		"other kind":           {subjects.PutTemplateRequest{TemplateID: "footer", Locale: "de", Kind: "layout", Text: "t"}, subjects.CodeInvalid, "kind", 0, 0},
		"locale":               {subjects.PutTemplateRequest{TemplateID: "a", Locale: "no language", Subject: "s", Text: "t"}, subjects.CodeInvalid, "locale", 0, 0},
		"name":                 {subjects.PutTemplateRequest{TemplateID: "A", Subject: "s", Text: "t"}, subjects.CodeInvalid, "template_id", 0, 0},
		"source size":          {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: strings.Repeat("x", 64<<10+1)}, subjects.CodeInvalid, "text", 0, 0},
		"sample data":          {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "t", SampleData: jsonData(t, `{"x": `+strings.Repeat("[", 70)+strings.Repeat("]", 70)+`}`)}, subjects.CodeInvalid, "sample_data", 0, 0},
		"expected version":     {subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "t", ExpectedVersion: &one}, subjects.CodeConflict, "", 0, 0},
		"kind that is used":    {subjects.PutTemplateRequest{TemplateID: "footer", Subject: "s", Text: "t"}, subjects.CodeConflict, "", 0, 0},
		"part that is used":    {subjects.PutTemplateRequest{TemplateID: "footer", Kind: "partial", HTML: "t"}, subjects.CodeConflict, "", 0, 0},
		"shipped kind":         {subjects.PutTemplateRequest{TemplateID: "auth.token", Subject: "s", Text: "t"}, subjects.CodeInvalid, "kind", 0, 0},
	} {
		err := wantCode(t, f.conn, test.code, subjects.PutTemplate, admin, test.request)
		if test.field == "" {
			continue
		}
		if len(err.Fields) != 1 || err.Fields[0].Field != test.field || err.Fields[0].Line != test.line || err.Fields[0].Column != test.column {
			t.Errorf("%s: %+v", name, err.Fields)
		}
	}
	f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "third", Subject: "s", Text: "t"})
	err := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.PutTemplate, admin, subjects.PutTemplateRequest{TemplateID: "fourth", Subject: "s", Text: "t"})
	if err.Reason != subjects.ReasonLimitReached || !strings.Contains(err.Detail, "notification.templates.max_templates") {
		t.Errorf("too many: %v", err)
	}
	wantCode(t, f.conn, subjects.CodeForbidden, subjects.PutTemplate, f.user(t, actortest.User()), subjects.PutTemplateRequest{TemplateID: "a", Subject: "s", Text: "t"})
}

// TestPreview reports the missing variables, strict or not, and what cannot be rendered.
func TestPreview(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	admin, ada := f.admin(t), f.user(t, actortest.User())
	for _, strict := range []bool{false, true} {
		f.put(t, admin, subjects.PutTemplateRequest{
			TemplateID: "order", Subject: "{{a}}", HTML: "<p>{{a}} {{b.c}}\n{{#if d}}{{/if}}</p><p>{{date at}}</p>", Strict: strict, SampleData: jsonData(t, `{"a": "<1>"}`),
		})
		got := call(t, f, subjects.PreviewTemplate, admin, subjects.PreviewTemplateRequest{TemplateID: "order"})
		if got.Subject != "<1>" || got.HTML != "<p>&lt;1&gt; \n</p><p></p>" || got.Text != "<1>" || got.Strict != strict || got.Locale != "en" {
			t.Errorf("preview: %+v", got)
		}
		if len(got.Missing) != 2 || got.Missing[0] != (subjects.MissingVariable{Name: "b.c", Template: "order", Part: "html", Line: 1, Column: 12}) || got.Missing[1].Name != "at" {
			t.Errorf("missing: %+v", got.Missing)
		}
		got = call(t, f, subjects.PreviewTemplate, admin, subjects.PreviewTemplateRequest{TemplateID: "order", TimeZone: "Asia/Tokyo", Data: jsonData(t, `{"a":1,"b":{"c":2},"at":"2026-11-30T20:00:00Z"}`)})
		if len(got.Missing) != 0 || got.Text != "1 2\n\nDecember 1, 2026" {
			t.Errorf("with data: %+v", got)
		}
		err := wantCode(t, f.conn, subjects.CodeInvalid, subjects.PreviewTemplate, admin, subjects.PreviewTemplateRequest{TemplateID: "order", Data: jsonData(t, `{"a": {}}`)})
		if len(err.Fields) != 1 || err.Fields[0].Line != 1 || err.Fields[0].Column != 1 || !strings.Contains(err.Detail, `template "order", subject`) {
			t.Errorf("an object: %v", err)
		}
	}
	// Strict now: the missing variable is found when the notification is accepted.
	err := wantCode(t, f.conn, subjects.CodeInvalid, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Template: "order", Data: jsonData(t, `{"a": 1}`)})
	if len(err.Fields) != 1 || err.Fields[0].Field != "data" || !strings.Contains(err.Fields[0].Message, "b.c is missing") {
		t.Errorf("strict: %v", err)
	}
	wantCode(t, f.conn, subjects.CodeNotFound, subjects.PreviewTemplate, admin, subjects.PreviewTemplateRequest{TemplateID: "nobody"})
	wantCode(t, f.conn, subjects.CodeForbidden, subjects.PreviewTemplate, ada, subjects.PreviewTemplateRequest{TemplateID: "order"})
}

// TestTemplateThatCannotBeRendered fails its channel for good, with the place; the other channel is not affected.
func TestTemplateThatCannotBeRendered(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		admin, ada := f.admin(t), f.user(t, actortest.User())
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "bad", Subject: "s", Text: "ok {{x}}"})
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "bad", Channel: "email", Subject: "s", Text: "\n{{number x}}"})
		n := f.await(t, ada, f.sendTemplate(t, ada, "bad", `{"x": "many"}`, nil, "in_app", "email"), "failed")
		mail, inApp := n.Channels[0], n.Channels[1]
		if failed, rendered := f.host.Metric(t, "notification_renderings_total", "email", "failed"), f.host.Metric(t, "notification_renderings_total", "in_app", "rendered"); failed != 1 || rendered != 1 {
			t.Errorf("%v failed and %v rendered are counted", failed, rendered)
		}
		if mail.Status != "failed" || mail.Attempts != 1 || !strings.Contains(mail.Error, `template "bad", text, line 2, column 3: number takes a number`) {
			t.Errorf("mail: %+v", mail)
		}
		if inApp.Status != "delivered" || n.Body != "ok many" || len(f.sink.Mails()) != 0 {
			t.Errorf("in-app: %+v, %q", inApp, n.Body)
		}
		f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "bad", Channel: "in_app", Subject: "s", Text: "{{currency x \"EUR\"}}"})
		n = f.get(t, ada, f.sendTemplate(t, ada, "bad", `{"x": "many"}`, nil, "in_app"))
		if n.Status != "failed" || !strings.Contains(n.Channels[0].Error, "column 3") || f.list(t, ada).UnreadCount != 1 {
			t.Errorf("in-app that cannot be rendered: %+v", n)
		}
	})
}

// TestConcurrentPuts: versions have no gaps, and of writers who expect the same version one succeeds.
func TestConcurrentPuts(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		admin := f.admin(t)
		var wg sync.WaitGroup
		won := make(chan int, 20)
		zero := 0
		for i := range 20 {
			wg.Go(func() {
				r := subjects.PutTemplateRequest{TemplateID: "t", Subject: "s", Text: fmt.Sprint(i), ExpectedVersion: &zero}
				got, err := mesh.Call(t.Context(), f.conn, subjects.PutTemplate, r, admin)
				switch {
				case err == nil:
					won <- got.Version
				case subjects.CodeOf(err) != subjects.CodeConflict:
					t.Error(err)
				}
				r.ExpectedVersion = nil
				if _, err := mesh.Call(t.Context(), f.conn, subjects.PutTemplate, r, admin); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) > 1 {
			t.Errorf("%d writers created the first version", len(won))
		}
		latest := call(t, f, subjects.GetTemplate, admin, subjects.TemplateRequest{TemplateID: "t"}).Version
		if latest != 20+len(won) {
			t.Errorf("the version is %d, want %d", latest, 20+len(won))
		}
	})
}

// TestVersionsAreBounded: a variant keeps its newest hundred versions; a notification that was accepted with one that is gone is rendered
// with the oldest there is.
func TestVersionsAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		admin, ada := f.admin(t), f.user(t, actortest.User())
		later, last := clock.Now().Add(2*time.Minute), clock.Now().Add(5*time.Minute)
		var first, second string
		for i := 1; i <= 103; i++ {
			f.put(t, admin, subjects.PutTemplateRequest{TemplateID: "t", Subject: "s", Text: fmt.Sprint("version ", i)})
			if i == 1 {
				first, second = f.sendTemplate(t, ada, "t", `{}`, &later), f.sendTemplate(t, ada, "t", `{}`, &last)
			}
		}
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.GetTemplate, admin, subjects.TemplateRequest{TemplateID: "t", Version: 3})
		if got := call(t, f, subjects.GetTemplate, admin, subjects.TemplateRequest{TemplateID: "t", Version: 4}); got.Text != "version 4" {
			t.Errorf("version 4: %+v", got)
		}
		clock.Advance(3 * time.Minute)
		if n := f.await(t, ada, first, "delivered"); n.Body != "version 4" {
			t.Errorf("in the process that has cached which version it was: %q", n.Body)
		}
		f.stop(t)
		clock.Advance(3 * time.Minute)
		f.start(t)
		if n := f.await(t, ada, second, "delivered"); n.Body != "version 4" {
			t.Errorf("in a process that has cached nothing: %q", n.Body)
		}
	})
}

// TestListTemplates pages through stored and shipped templates.
func TestListTemplates(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	admin := f.admin(t)
	for _, r := range []subjects.PutTemplateRequest{
		{TemplateID: "a", Kind: "partial", Text: "t"}, {TemplateID: "z", Subject: "s", Text: "t"},
		{TemplateID: "z", Locale: "fr", Channel: "sms", Text: "t"}, {TemplateID: "z", Locale: "fr", Subject: "s", Text: "t"},
	} {
		f.put(t, admin, r)
	}
	var names []string
	for r := (subjects.ListTemplatesRequest{PageRequest: subjects.PageRequest{Limit: 7}}); ; {
		page := call(t, f, subjects.ListTemplates, admin, r)
		for _, item := range page.Items {
			if item.Text != "" {
				t.Errorf("%s is listed with its source", item.ID)
			}
			names = append(names, item.ID+"/"+item.Locale+"/"+item.Channel)
		}
		if r.Cursor = page.NextCursor; r.Cursor == "" {
			break
		}
	}
	all := strings.Join(names, " ")
	if !strings.HasPrefix(all, "a/en/ auth.account_claimed/de/ auth.account_claimed/en/") || !strings.HasSuffix(all, "z/en/ z/fr/ z/fr/sms") || len(names) < 40 {
		t.Errorf("listed: %s", all)
	}
	if page := call(t, f, subjects.ListTemplates, admin, subjects.ListTemplatesRequest{Kind: "layout"}); len(page.Items) != 2 {
		t.Errorf("layouts: %+v", page.Items)
	}
}
