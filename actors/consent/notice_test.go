package consent_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func (f *fixture) admin(t *testing.T) mesh.As {
	t.Helper()
	return mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
}

// publish publishes a version of a notice in English.
func (f *fixture) publish(t *testing.T, id, purposeID, change, text string) subjects.Notice {
	t.Helper()
	return call(t, f, subjects.PublishNotice, f.admin(t), subjects.PublishNoticeRequest{
		NoticeID: id, PurposeID: purposeID, Change: change, DefaultLanguage: "en", Texts: []subjects.NoticeText{{Language: "en", Text: text}},
	})
}

// verifiedSoon verifies the ledger and its records once it has some entries.
func (f *fixture) verifiedSoon(t *testing.T, entries int) {
	t.Helper()
	if err := f.verified(t, entries).VerifyRecords(f.records(t)); err != nil {
		t.Error(err)
	}
}

func TestNotices(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, withPurposes())
		ada, admin := f.user(t, actortest.User()), f.admin(t)
		zero := int64(0)
		request := subjects.PublishNoticeRequest{
			NoticeID: "news", PurposeID: "newsletter", Change: subjects.NoticeEditorial, DefaultLanguage: "en", ExpectedVersion: &zero,
			Texts: []subjects.NoticeText{{Language: "en", Title: "News", Text: "May we write to you?"}, {Language: "de", Text: "Dürfen wir dir schreiben?"}, {Language: "fr-ch", Text: "Pouvons-nous écrire?"}},
		}
		first := call(t, f, subjects.PublishNotice, admin, request)
		if first.Version != 1 || first.Scope != newsScope || strings.Join(first.Languages, " ") != "de en fr-CH" || first.RenewalsPending || len(first.Texts) != 3 {
			t.Errorf("published %+v", first)
		}
		if e := wantCode(t, f, subjects.CodeConflict, subjects.PublishNotice, admin, request); e.Reason != subjects.ReasonVersionMismatch {
			t.Errorf("the second first version: %+v", e)
		}
		wantCode(t, f, subjects.CodeForbidden, subjects.PublishNotice, ada, request)
		request.ExpectedVersion = nil
		request.Texts[0].Text = "May we send you news?"
		if second := call(t, f, subjects.PublishNotice, admin, request); second.Version != 2 {
			t.Errorf("published %+v", second)
		}
		for language, want := range map[string]string{"de-CH": "de", "de": "de", "fr-CH": "fr-CH", "fr": "en", "": "en", "xx-invalid-!": "en", "pt-BR": "en"} {
			served := call(t, f, subjects.ServeNotice, mesh.As{}, subjects.ServeNoticeRequest{NoticeID: "news", Language: language})
			sum := sha256.Sum256([]byte(served.Text))
			if served.Language != want || served.Version != 2 || served.Hash != hex.EncodeToString(sum[:]) || served.NoticeToken == "" {
				t.Errorf("%q is served %+v, want %s", language, served, want)
			}
		}
		page := call(t, f, subjects.ListNotices, ada, subjects.ListNoticesRequest{PageRequest: subjects.PageRequest{Limit: 1}})
		next := call(t, f, subjects.ListNotices, ada, subjects.ListNoticesRequest{PageRequest: subjects.PageRequest{Limit: 1, Cursor: page.NextCursor}})
		if len(page.Items) != 1 || page.Items[0].Version != 2 || page.Items[0].Texts != nil || len(next.Items) != 1 || next.Items[0].Version != 1 || next.NextCursor != "" {
			t.Errorf("listed %+v, then %+v", page, next)
		}
		old := call(t, f, subjects.ListNotices, ada, subjects.ListNoticesRequest{NoticeID: "news", Version: 1})
		if len(old.Items) != 1 || len(old.Items[0].Texts) != 3 || old.Items[0].Texts[1].Text != "May we write to you?" {
			t.Errorf("version 1 is %+v", old)
		}
		wantCode(t, f, subjects.CodeInvalid, subjects.ListNotices, ada, subjects.ListNoticesRequest{Version: 1})
		wantCode(t, f, subjects.CodeNotFound, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "none"})
	})
}

func TestNoticesAreChecked(t *testing.T) {
	t.Parallel()
	config := withPurposes()
	config.Notices.MaxVersions = 1
	f := setupWith(t, actortest.Databases(t)[0], config)
	admin := f.admin(t)
	english := subjects.NoticeText{Language: "en", Text: "x"}
	for name, test := range map[string]struct {
		change func(*subjects.PublishNoticeRequest)
		field  string
	}{
		"unknown purpose":         {func(r *subjects.PublishNoticeRequest) { r.PurposeID = "none" }, "purpose_id"},
		"id in capitals":          {func(r *subjects.PublishNoticeRequest) { r.NoticeID = "News" }, "notice_id"},
		"no text of the default":  {func(r *subjects.PublishNoticeRequest) { r.DefaultLanguage = "de" }, "default_language"},
		"no language":             {func(r *subjects.PublishNoticeRequest) { r.Texts[0].Language = "??" }, "texts[0].language"},
		"a language twice":        {func(r *subjects.PublishNoticeRequest) { r.Texts = append(r.Texts, english) }, "texts[1].language"},
		"another hash":            {func(r *subjects.PublishNoticeRequest) { r.Texts[0].Hash = "00" }, "texts[0].hash"},
		"no change":               {func(r *subjects.PublishNoticeRequest) { r.Change = "" }, "change"},
		"no texts":                {func(r *subjects.PublishNoticeRequest) { r.Texts = nil }, "texts"},
		"texts too long together": {tooLong, "texts"},
	} {
		r := subjects.PublishNoticeRequest{NoticeID: "news", PurposeID: "newsletter", Change: "editorial", DefaultLanguage: "en", Texts: []subjects.NoticeText{english}}
		test.change(&r)
		e := wantCode(t, f, subjects.CodeInvalid, subjects.PublishNotice, admin, r)
		if len(e.Fields) == 0 || e.Fields[0].Field != test.field {
			t.Errorf("%s: fields %+v, want %s", name, e.Fields, test.field)
		}
	}
	f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "x")
	request := subjects.PublishNoticeRequest{NoticeID: "news", PurposeID: "ads", Change: "editorial", DefaultLanguage: "en", Texts: []subjects.NoticeText{english}}
	if e := wantCode(t, f, subjects.CodeInvalid, subjects.PublishNotice, admin, request); e.Fields[0].Field != "purpose_id" {
		t.Errorf("fields %+v", e.Fields)
	}
	request.PurposeID = "newsletter"
	if e := wantCode(t, f, subjects.CodeRateLimited, subjects.PublishNotice, admin, request); e.Reason != subjects.ReasonLimitReached || !strings.Contains(e.Detail, "consent.notices.max_versions") {
		t.Errorf("over the bound: %+v", e)
	}
}

func tooLong(r *subjects.PublishNoticeRequest) {
	for _, language := range strings.Fields("de fr it es pt nl pl sv da fi") {
		r.Texts = append(r.Texts, subjects.NoticeText{Language: language, Text: strings.Repeat("ü", 20_000)})
	}
}

// TestNoticeTokens: a token is taken from the user it was served to, for its scope, while its notice is current, until it expires, and only
// as it was signed.
func TestNoticeTokens(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setupWith(t, actortest.Databases(t)[0], withPurposes(), actortest.WithClock(clock.Now))
	ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
	f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "May we?")
	served := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "news", Jurisdiction: "de"})
	anonymous := call(t, f, subjects.ServeNotice, mesh.As{}, subjects.ServeNoticeRequest{NoticeID: "news"})
	parts := strings.Split(served.NoticeToken, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || !strings.Contains(string(header), `"typ":"weft-notice+jwt"`) || !strings.Contains(string(header), `"alg":"EdDSA"`) {
		t.Errorf("header %s, %v", header, err)
	}
	_, other, _ := ed25519.GenerateKey(nil)
	var head struct{ KID string }
	if err := json.Unmarshal(header, &head); err != nil {
		t.Fatal(err)
	}
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	forged, err := mesh.SignJWS("weft-notice+jwt", head.KID, json.RawMessage(claims), other)
	if err != nil {
		t.Fatal(err)
	}
	grant := func(as mesh.As, r subjects.GrantConsentRequest) string {
		t.Helper()
		e := wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, as, r)
		if len(e.Fields) == 0 {
			t.Fatalf("%+v names no field", e)
		}
		return e.Fields[0].Field
	}
	request := func(token string) subjects.GrantConsentRequest {
		return subjects.GrantConsentRequest{Scope: newsScope, NoticeToken: token}
	}
	for name, token := range map[string]string{
		"forged": forged, "an access token": ada.Token[:min(len(ada.Token), 2048)], "without signature": parts[0] + "." + parts[1] + ".", "no token": "x",
		"another payload": parts[0] + "." + strings.Split(anonymous.NoticeToken, ".")[1] + "." + parts[2], "padded": served.NoticeToken + "=",
	} {
		if field := grant(ada, request(token)); field != "notice_token" {
			t.Errorf("%s: %s", name, field)
		}
	}
	if field := grant(eve, request(served.NoticeToken)); field != "notice_token" {
		t.Errorf("another user's token: %s", field)
	}
	wrong := request(served.NoticeToken)
	wrong.Scope = subjects.ScopeWorkflowsRead
	if field := grant(ada, wrong); field != "notice_token" {
		t.Errorf("another scope: %s", field)
	}
	wrong = request(served.NoticeToken)
	wrong.NoticeVersion = "2"
	if field := grant(ada, wrong); field != "notice_version" {
		t.Errorf("another version: %s", field)
	}
	wrong = request(served.NoticeToken)
	wrong.Jurisdiction = "FR"
	if field := grant(ada, wrong); field != "jurisdiction" {
		t.Errorf("another jurisdiction: %s", field)
	}
	if field := grant(ada, subjects.GrantConsentRequest{Scope: newsScope, Method: "voice"}); field != "method" {
		t.Errorf("a method without proof: %s", field)
	}
	if c := call(t, f, subjects.GrantConsent, eve, request(anonymous.NoticeToken)); c.Method != subjects.MethodServedNotice {
		t.Errorf("by a token of before the sign-in: %+v", c.ConsentRecord)
	}
	// An editorial change leaves tokens valid, a material one does not.
	f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "May we please?")
	call(t, f, subjects.GrantConsent, ada, request(served.NoticeToken))
	f.publish(t, "news", "newsletter", subjects.NoticeMaterial, "May we write to you every hour?")
	if field := grant(ada, request(served.NoticeToken)); field != "notice_token" {
		t.Errorf("after a material change: %s", field)
	}
	fresh := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "news"})
	clock.Advance(consent.DefaultConfig().Notices.TokenTTL + time.Second)
	ada = f.user(t, fresh.NoticeID) // the access token has expired as well
	if field := grant(ada, request(anonymous.NoticeToken)); field != "notice_token" {
		t.Errorf("after its lifetime: %s", field)
	}
}
