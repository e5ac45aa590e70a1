package consent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func consentIDs(list []subjects.Consent) []string {
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	return ids
}

func TestListPages(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		var want []string // newest first
		for _, scope := range subjects.Scopes()[:5] {
			want = slices.Insert(want, 0, f.grant(t, ada, scope).ID)
		}
		for _, limit := range []int{1, 2, 5, 200} {
			var got []string
			cursor, pages := "", 0
			for pages == 0 || cursor != "" {
				page := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{
					PageRequest: subjects.PageRequest{Limit: limit, Cursor: cursor}, Status: subjects.ConsentActive,
				})
				if len(page.Items) == 0 || len(page.Items) > limit {
					t.Fatalf("a page of %d items for a limit of %d", len(page.Items), limit)
				}
				got = append(got, consentIDs(page.Items)...)
				cursor, pages = page.NextCursor, pages+1
			}
			if wantPages := (len(want) + limit - 1) / limit; !slices.Equal(got, want) || pages != wantPages {
				t.Errorf("limit %d: %v on %d pages, want %v on %d", limit, got, pages, want, wantPages)
			}
		}
	})
}

func TestListFilters(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, actortest.WithClock(clock.Now))
		ada := f.user(t, actortest.User())
		soon := clock.Now().Add(time.Minute)
		expired := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, ExpiresAt: &soon})
		superseded := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		active := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		revoked := f.grant(t, ada, subjects.ScopeIntegrationsRead)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: revoked.ID})
		clock.Advance(2 * time.Minute)
		for name, test := range map[string]struct {
			request subjects.ListConsentsRequest
			want    []string
		}{
			"all":                 {subjects.ListConsentsRequest{}, []string{revoked.ID, active.ID, superseded.ID, expired.ID}},
			"active":              {subjects.ListConsentsRequest{Status: subjects.ConsentActive}, []string{active.ID}},
			"expired":             {subjects.ListConsentsRequest{Status: subjects.ConsentExpired}, []string{expired.ID}},
			"superseded":          {subjects.ListConsentsRequest{Status: subjects.ConsentSuperseded}, []string{superseded.ID}},
			"revoked":             {subjects.ListConsentsRequest{Status: subjects.ConsentRevoked}, []string{revoked.ID}},
			"scope":               {subjects.ListConsentsRequest{Scope: subjects.ScopeWorkflowsExecute}, []string{active.ID, superseded.ID}},
			"scope and status":    {subjects.ListConsentsRequest{Scope: subjects.ScopeWorkflowsExecute, Status: subjects.ConsentActive}, []string{active.ID}},
			"scope, other status": {subjects.ListConsentsRequest{Scope: subjects.ScopeWorkflowsRead, Status: subjects.ConsentActive}, []string{}},
			"unknown scope":       {subjects.ListConsentsRequest{Scope: "everything"}, []string{}},
		} {
			got := call(t, f, subjects.ListConsents, ada, test.request)
			if got.Items == nil || !slices.Equal(consentIDs(got.Items), test.want) || got.NextCursor != "" {
				t.Errorf("%s: %+v, want %v", name, got, test.want)
			}
		}
		if got := call(t, f, subjects.ListConsents, f.user(t, actortest.User()), subjects.ListConsentsRequest{}); len(got.Items) != 0 {
			t.Errorf("another user sees %+v", got.Items)
		}
	})
}

func TestHistoryPages(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsRead)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID, Reason: "enough"})
		request := subjects.ConsentHistoryRequest{
			ConsentRequest: subjects.ConsentRequest{ConsentID: c.ID}, PageRequest: subjects.PageRequest{Limit: 1},
		}
		first := call(t, f, subjects.GetConsentHistory, ada, request)
		request.Cursor = first.NextCursor
		second := call(t, f, subjects.GetConsentHistory, ada, request)
		if len(first.Items) != 1 || first.Items[0].Change != "granted" || !first.Items[0].At.Equal(c.GrantedAt) && first.Items[0].At.Before(c.GrantedAt) {
			t.Errorf("first page: %+v", first)
		}
		if len(second.Items) != 1 || second.Items[0].Change != subjects.ConsentRevoked || second.Items[0].Reason != "enough" || second.NextCursor != "" {
			t.Errorf("second page: %+v", second)
		}
		if first.Items[0].ConsentID != c.ID || first.Items[0].ID == second.Items[0].ID {
			t.Errorf("entries: %+v, %+v", first.Items, second.Items)
		}
	})
}

// TestPageRequestsAreChecked: limits out of bounds and cursors of another form are refused by the field's name.
func TestPageRequestsAreChecked(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada := f.user(t, actortest.User())
	c := f.grant(t, ada, subjects.ScopeWorkflowsRead)
	for name, test := range map[string]struct {
		page  subjects.PageRequest
		field string
	}{
		"limit above the maximum":  {subjects.PageRequest{Limit: 201}, "limit"},
		"negative limit":           {subjects.PageRequest{Limit: -1}, "limit"},
		"cursor that is no Base64": {subjects.PageRequest{Cursor: "made-up!"}, "cursor"},
		"cursor that is no JSON":   {subjects.PageRequest{Cursor: "bWFkZS11cA"}, "cursor"},
		"cursor with two parts":    {subjects.PageRequest{Cursor: actors.EncodeCursor("a", "b")}, "cursor"},
	} {
		for _, err := range []*subjects.Error{
			wantCode(t, f, subjects.CodeInvalid, subjects.ListConsents, ada, subjects.ListConsentsRequest{PageRequest: test.page}),
			wantCode(t, f, subjects.CodeInvalid, subjects.GetConsentHistory, ada,
				subjects.ConsentHistoryRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: c.ID}, PageRequest: test.page}),
		} {
			if len(err.Fields) != 1 || err.Fields[0].Field != test.field {
				t.Errorf("%s: fields %+v", name, err.Fields)
			}
		}
	}
	wantCode(t, f, subjects.CodeInvalid, subjects.ListConsents, ada, subjects.ListConsentsRequest{Status: "gone"})
}

// TestOthersConsentsAreNotFound: every endpoint that names a consent answers not_found for one of another user, as for one
// that does not exist.
func TestOthersConsentsAreNotFound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsRead)
		for _, as := range []struct {
			name string
			as   mesh.As
			id   string
		}{{"another user's", eve, c.ID}, {"unknown", ada, actortest.User()}} {
			request := subjects.ConsentRequest{ConsentID: as.id}
			var details []string
			for _, err := range []*subjects.Error{
				wantCode(t, f, subjects.CodeNotFound, subjects.GetConsent, as.as, request),
				wantCode(t, f, subjects.CodeNotFound, subjects.GetReceipt, as.as, subjects.ReceiptRequest{ConsentRequest: request}),
				wantCode(t, f, subjects.CodeNotFound, subjects.GetConsentHistory, as.as, subjects.ConsentHistoryRequest{ConsentRequest: request}),
				wantCode(t, f, subjects.CodeNotFound, subjects.RevokeConsent, as.as, subjects.RevokeConsentRequest{ConsentID: as.id}),
			} {
				details = append(details, err.Detail)
			}
			if slices.ContainsFunc(details, func(d string) bool { return d != "consent not found" }) {
				t.Errorf("%s consent: %q", as.name, details)
			}
		}
		wantCode(t, f, subjects.CodeInvalid, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: "no-uuid"})
		if got := f.get(t, ada, c.ID); got.Status != subjects.ConsentActive {
			t.Errorf("the consent: %+v", got)
		}
	})
}

func TestEveryScopeIsDescribed(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	listed := call(t, f, subjects.ListScopes, f.user(t, actortest.User()), subjects.Empty{})
	var scopes []string
	for _, s := range listed.Items {
		scopes = append(scopes, s.Scope)
		if s.Description == "" {
			t.Errorf("%s has no description", s.Scope)
		}
	}
	if !slices.Equal(scopes, subjects.Scopes()) {
		t.Errorf("scopes %v, want %v", scopes, subjects.Scopes())
	}
}
