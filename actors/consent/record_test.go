package consent_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// adScope and newsScope are scopes of an operator's own: one that sells, and one that does not.
const (
	adScope   = "x.ads"
	newsScope = "x.newsletter"
)

// withPurposes are settings with purposes of an operator's own.
func withPurposes() consent.Config {
	c := consent.DefaultConfig()
	basis := map[string]string{"default": "eu-gdpr:A6-1-a", "US-CA": "ccpa:opt-out"}
	c.Purposes = map[string]consent.PurposeConfig{
		"ads": {
			Version: 2, Scope: adScope, Description: "Sell your address.", LegalBasis: basis, DataCategories: []string{"pd:EmailAddress"},
			Recipients: []string{"an ad network"}, Retention: "P90D", SaleOrShare: subjects.KindSale,
		},
		"newsletter": {Scope: newsScope, Description: "Send you a newsletter.", Descriptions: map[string]string{"de": "Dir schreiben."}, LegalBasis: basis},
	}
	return c
}

// TestRecords: what is recorded of a consent, with and without the proof of a notice.
func TestRecords(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, withPurposes())
		user := actortest.User()
		ada := mesh.As{Token: f.mesh.Token(t, user, actortest.WithSession("s1"))}
		unproven := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
			Scope: newsScope, Jurisdiction: "us-ca", NoticeVersion: "v7", UIContext: "settings", CollectionPlace: "https://app.example/settings",
		})
		want := subjects.ConsentRecord{
			PurposeID: "newsletter", PurposeVersion: 1, LegalBasis: "ccpa:opt-out", NoticeVersion: "v7", Method: subjects.MethodUnproven,
			UIContext: "settings", CollectionPlace: "https://app.example/settings", ActedBy: subjects.ActedByUser,
			ActedVia: subjects.ActedViaSession, ActedViaID: "s1", AgeClass: subjects.AgeUnknown,
		}
		if unproven.ConsentRecord != want || unproven.Jurisdiction != "US-CA" {
			t.Errorf("recorded %+v\nwant %+v", unproven.ConsentRecord, want)
		}
		f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "May we write to you?")
		served := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "news", Jurisdiction: "DE"})
		proven := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
			Scope: newsScope, NoticeToken: served.NoticeToken, NoticeVersion: "1", Method: "web_form",
		})
		r := proven.ConsentRecord
		if r.NoticeID != "news" || r.NoticeVersion != "1" || r.NoticeHash != served.Hash || r.NoticeLanguage != "en" || r.NoticeServedAt == nil ||
			r.Method != "web_form" || r.LegalBasis != "eu-gdpr:A6-1-a" || proven.Jurisdiction != "DE" {
			t.Errorf("recorded %+v in %s", r, proven.Jurisdiction)
		}
		got := f.get(t, ada, proven.ID)
		if got.NoticeServedAt == nil || !got.NoticeServedAt.Equal(*r.NoticeServedAt) {
			t.Errorf("read %v, recorded %v", got.NoticeServedAt, r.NoticeServedAt)
		}
		if d := f.validate(t, ada, newsScope); !d.Allowed || d.ConsentID != proven.ID {
			t.Errorf("decision %+v", d)
		}
		if _, err := f.guard(t, f.mesh.Now).Check(t.Context(), user, newsScope); err != nil {
			t.Errorf("the guard does not know the scope: %v", err)
		}
		// Three grants' entries with the superseded one, each with a commitment to the whole record.
		f.verifiedSoon(t, 3)
	})
}

// TestOwnScopesAreListed: list_scopes has the operator's purposes behind weft's, and a scope that nobody declared is refused.
func TestOwnScopesAreListed(t *testing.T) {
	t.Parallel()
	f := setupWith(t, actortest.Databases(t)[0], withPurposes())
	ada := f.user(t, actortest.User())
	items := call(t, f, subjects.ListScopes, ada, subjects.Empty{}).Items
	own := items[len(subjects.Scopes()):]
	if len(own) != 2 || own[0].Scope != adScope || own[0].SaleOrShare != "sale" || own[0].PurposeVersion != 2 || own[1].Descriptions["de"] == "" {
		t.Errorf("own scopes %+v", own)
	}
	err := wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: "x.unknown"})
	if len(err.Fields) != 1 || err.Fields[0].Field != "scope" {
		t.Errorf("fields %+v", err.Fields)
	}
}

// TestRefusals: a refusal is recorded, allows nothing, and neither ends a consent nor is taken for its revocation.
func TestRefusals(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		const scope = subjects.ScopeNotificationsMarketing
		no := subjects.GrantConsentRequest{Scope: scope, Decision: subjects.DecisionRefused, UIContext: "banner"}
		refused := call(t, f, subjects.GrantConsent, ada, no)
		if refused.Status != subjects.ConsentRefused || refused.UIContext != "banner" {
			t.Errorf("refused: %+v", refused.Consent)
		}
		if d := f.validate(t, ada, scope); d.Allowed || d.Reason != "missing" {
			t.Errorf("after the refusal: %+v", d)
		}
		given := f.grant(t, ada, scope)
		if got := f.get(t, ada, refused.ID); got.Status != subjects.ConsentRefused {
			t.Errorf("the refusal after a grant: %s", got.Status)
		}
		if e := wantCode(t, f, subjects.CodeConflict, subjects.GrantConsent, ada, no); e.Reason != subjects.ReasonConsentActive || !strings.Contains(e.Detail, given.ID) {
			t.Errorf("a refusal beside a consent: %+v", e)
		}
		if d := f.validate(t, ada, scope); !d.Allowed || d.ConsentID != given.ID {
			t.Errorf("the consent was ended: %+v", d)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: refused.ID})
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: given.ID})
		again := call(t, f, subjects.GrantConsent, ada, no)
		if d := f.validate(t, ada, scope); d.Allowed || d.Reason != subjects.ConsentRevoked {
			t.Errorf("after the second refusal: %+v", d)
		}
		list := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{Status: subjects.ConsentRefused})
		if want := []string{again.ID, refused.ID}; !slices.Equal(consentIDs(list.Items), want) {
			t.Errorf("refusals %v, want %v", consentIDs(list.Items), want)
		}
		if h := f.history(t, ada, refused.ID); len(h) != 1 || h[0].Change != subjects.ConsentRefused {
			t.Errorf("history %+v", h)
		}
		f.verifiedSoon(t, 4)
	})
}

// TestMinors: a known minor's consent needs a guardian, an unknown age is no barrier unless the operator asks for one, and a refusal needs
// neither.
func TestMinors(t *testing.T) {
	t.Parallel()
	config := consent.DefaultConfig()
	f := setupWith(t, actortest.Databases(t)[0], config)
	ada := f.user(t, actortest.User())
	guardian := &subjects.Guardian{Name: "Grace", Method: "payment", Evidence: "charge ch_1"}
	age := func(years int) *int { return &years }
	request := func(years int, place string) subjects.GrantConsentRequest {
		return subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, Age: age(years), Jurisdiction: place}
	}
	for place, threshold := range map[string]int{"DE": 16, "AT": 14, "US-CA": 13, "BR": 12} {
		e := wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, ada, request(threshold-1, place))
		if len(e.Fields) != 1 || e.Fields[0].Field != "guardian" {
			t.Errorf("%s: fields %+v", place, e.Fields)
		}
		if c := call(t, f, subjects.GrantConsent, ada, request(threshold, place)); c.AgeClass != subjects.AgeOfAge || c.AgeThreshold != threshold {
			t.Errorf("%s at %d: %+v", place, threshold, c.ConsentRecord)
		}
	}
	minor := request(9, "DE")
	minor.Guardian = guardian
	c := call(t, f, subjects.GrantConsent, ada, minor)
	if c.AgeClass != subjects.AgeMinor || c.ActedBy != subjects.ActedByGuardian || c.Guardian == nil || *c.Guardian != *guardian {
		t.Errorf("the guardian's consent: %+v", c.ConsentRecord)
	}
	no := request(9, "DE")
	no.Scope, no.Decision = subjects.ScopeWorkflowsExecute, subjects.DecisionRefused
	if c := call(t, f, subjects.GrantConsent, ada, no); c.Status != subjects.ConsentRefused {
		t.Errorf("a minor's refusal: %+v", c.Consent)
	}
	for _, g := range []subjects.Guardian{{Name: "Grace", Method: "payment"}, {Method: "payment", Evidence: "e"}, {Name: "Grace", Method: "a hunch", Evidence: "e"}} {
		minor.Guardian = &g
		wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, ada, minor)
	}
	f.stop(t)
	f.config.RequireAge = true
	f.start(t)
	e := wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
	if len(e.Fields) != 1 || e.Fields[0].Field != "age" {
		t.Errorf("fields %+v", e.Fields)
	}
}

// TestWithdrawalIsAsEasyAsConsent (GDPR Art. 7(3)): revoke_consent admits the callers of grant_consent, in one call, and requires
// nothing but the consent's id: no reason, no other field.
func TestWithdrawalIsAsEasyAsConsent(t *testing.T) {
	t.Parallel()
	grant, revoke := subjects.GrantConsent.Describe(), subjects.RevokeConsent.Describe()
	if grant.Access.String() != revoke.Access.String() || len(revoke.Limits) > len(grant.Limits) || revoke.Consent != "" {
		t.Errorf("grant_consent is for %s, revoke_consent for %s", grant.Access, revoke.Access)
	}
	if grant.HTTPMethod != revoke.HTTPMethod || revoke.Path != grant.Path+"/{consent_id}/revoke" {
		t.Errorf("revoke_consent is %s %s", revoke.HTTPMethod, revoke.Path)
	}
	var needs []string
	for _, field := range revoke.Fields {
		if field.Required {
			needs = append(needs, field.Name)
		}
	}
	if !slices.Equal(needs, []string{"consent_id"}) {
		t.Errorf("revoke_consent requires %v", needs)
	}
	f := setup(t, actortest.Databases(t)[0])
	ada := f.user(t, actortest.User())
	c := f.grant(t, ada, subjects.ScopeWorkflowsRead)
	if got := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID}); got.Status != subjects.ConsentRevoked {
		t.Errorf("revoked: %+v", got)
	}
}
