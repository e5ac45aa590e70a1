package consent_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestOnlyServicesAskAboutOthers: a service may name any user, a user only itself.
func TestOnlyServicesAskAboutOthers(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada, eve := actortest.User(), actortest.User()
	f.mesh.Consent(t, ada, subjects.ScopeIntegrationsExecute)
	request := subjects.ValidateConsentRequest{UserID: ada, Scope: subjects.ScopeIntegrationsExecute}
	wantCode(t, f, subjects.CodeForbidden, subjects.ValidateConsent, f.user(t, eve), request)
	if d := call(t, f, subjects.ValidateConsent, f.user(t, ada), request); !d.Allowed {
		t.Errorf("ada was not answered about herself: %+v", d)
	}
	for _, service := range []string{"integration", "workflow", "notification"} {
		f.conn = f.mesh.Conn(t, service)
		if d := call(t, f, subjects.ValidateConsent, mesh.As{Service: true}, request); !d.Allowed {
			t.Errorf("%s was not answered about ada: %+v", service, d)
		}
		request := subjects.ValidateConsentRequest{Scope: request.Scope}
		if d := call(t, f, subjects.ValidateConsent, mesh.As{Service: true, UserID: ada}, request); !d.Allowed {
			t.Errorf("%s on ada's behalf: %+v", service, d)
		}
	}
	f.conn = f.mesh.Conn(t, "auth")
	if _, err := mesh.Call(t.Context(), f.conn, subjects.ValidateConsent, request, mesh.As{Service: true}); err == nil {
		t.Error("auth was answered")
	}
}

// TestBulkValidation: bulk_validate_consents returns the decisions of single calls in the order of its checks.
func TestBulkValidation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		f.grant(t, ada, subjects.ScopeWorkflowsRead)
		revoked := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: revoked.ID})
		scopes := []string{
			subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead, "everything", subjects.ScopeUserProfileRead, subjects.ScopeWorkflowsRead,
		}
		var request subjects.BulkValidateConsentsRequest
		var reasons []string
		for _, scope := range scopes {
			request.Checks = append(request.Checks, subjects.ConsentCheck{Scope: scope})
		}
		for i, d := range call(t, f, subjects.BulkValidateConsents, ada, request).Results {
			reasons = append(reasons, d.Reason)
			single := f.validate(t, ada, scopes[i])
			if d.Scope != scopes[i] || d.Allowed != single.Allowed || d.Reason != single.Reason || d.ConsentID != single.ConsentID {
				t.Errorf("check %d: %+v, alone %+v", i, d, single)
			}
		}
		if want := []string{"revoked", "active", "missing", "missing", "active"}; !slices.Equal(reasons, want) {
			t.Errorf("reasons %v, want %v", reasons, want)
		}
		// Each was asked twice, in bulk and alone.
		for reason, want := range map[string]float64{"active": 4, "missing": 4, "revoked": 2, "expired": 0} {
			if n := f.host.Metric(t, "consent_validations_total", reason); n != want {
				t.Errorf("%v decisions %s counted, want %v", n, reason, want)
			}
		}
	})
}

// TestBulkValidationIsBounded: an entry has one scope or several, and all entries together make at most 1,000 checks.
func TestBulkValidationIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada := f.user(t, actortest.User())
	const scope = subjects.ScopeWorkflowsRead
	one := make([]subjects.ConsentCheck, subjects.MaxBulkChecks+1)
	for i := range one {
		one[i].Scope = scope
	}
	hundred := slices.Repeat([]string{scope}, 100)
	many := slices.Repeat([]subjects.ConsentCheck{{Scopes: hundred}}, 11)
	for name, c := range map[string]struct {
		checks []subjects.ConsentCheck
		field  string
	}{
		"none":             {nil, "checks"},
		"1,001 entries":    {one, "checks"},
		"1,001 scopes":     {append(slices.Clone(many[:10]), one[0]), "checks"},
		"neither":          {[]subjects.ConsentCheck{one[0], {}}, "checks[1].scope"},
		"both":             {[]subjects.ConsentCheck{{Scope: scope, Scopes: hundred[:1]}}, "checks[0].scope"},
		"an empty scope":   {[]subjects.ConsentCheck{{Scopes: []string{scope, ""}}}, "checks[0].scopes[1]"},
		"a long scope":     {[]subjects.ConsentCheck{{Scopes: []string{strings.Repeat("s", 65)}}}, "checks[0].scopes[0]"},
		"101 scopes of an": {[]subjects.ConsentCheck{{Scopes: append(slices.Clone(hundred), scope)}}, "checks[0].scopes"},
	} {
		err := wantCode(t, f, subjects.CodeInvalid, subjects.BulkValidateConsents, ada, subjects.BulkValidateConsentsRequest{Checks: c.checks})
		if len(err.Fields) != 1 || err.Fields[0].Field != c.field {
			t.Errorf("%s: %+v, want the field %s", name, err.Fields, c.field)
		}
	}
	for _, checks := range [][]subjects.ConsentCheck{one[:1000], many[:10]} {
		if got := call(t, f, subjects.BulkValidateConsents, ada, subjects.BulkValidateConsentsRequest{Checks: checks}); len(got.Results) != 1000 {
			t.Errorf("%d results, want 1000", len(got.Results))
		}
	}
	other := []subjects.ConsentCheck{one[0], {UserID: actortest.User(), Scope: scope}}
	wantCode(t, f, subjects.CodeForbidden, subjects.BulkValidateConsents, ada, subjects.BulkValidateConsentsRequest{Checks: other})
}

// TestBulkValidationIsThatOfSingleCalls: whatever a service asks about, repeated, unknown and in any case of letters, bulk_validate_consents answers
// as validate_consent does, in the order of entries and their scopes.
func TestBulkValidationIsThatOfSingleCalls(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], actortest.WithClock(clock.Now))
	users := []string{"", actortest.User()} // the second is unknown
	for i := range 3 {
		users = append(users, actortest.User())
		as := f.user(t, users[len(users)-1])
		f.grant(t, as, subjects.Scopes()[i])
		revoked := f.grant(t, as, subjects.Scopes()[i+1])
		call(t, f, subjects.RevokeConsent, as, subjects.RevokeConsentRequest{ConsentID: revoked.ID})
		soon := clock.Now().Add(time.Minute)
		call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.Scopes()[i+2], ExpiresAt: &soon})
	}
	users = append(users, strings.ToUpper(users[2]))
	clock.Advance(2 * time.Minute)
	service := mesh.As{Service: true, UserID: users[3]}
	f.conn = f.mesh.Conn(t, "workflow")
	anyScope := rapid.SampledFrom(append(subjects.Scopes()[:6:6], "unknown"))
	rapid.Check(t, func(r *rapid.T) {
		checks := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) subjects.ConsentCheck {
			c := subjects.ConsentCheck{UserID: rapid.SampledFrom(users).Draw(r, "user")}
			if c.Scopes = rapid.SliceOfN(anyScope, 0, 4).Draw(r, "scopes"); len(c.Scopes) == 0 {
				c.Scope = anyScope.Draw(r, "scope")
			}
			return c
		}), 1, 6).Draw(r, "checks")
		got, err := mesh.Call(t.Context(), f.conn, subjects.BulkValidateConsents, subjects.BulkValidateConsentsRequest{Checks: checks}, service)
		if err != nil {
			r.Fatal(err)
		}
		results := got.Results
		for i, c := range checks {
			for _, scope := range append(c.Scopes, c.Scope) {
				if scope == "" {
					continue
				}
				want, err := mesh.Call(t.Context(), f.conn, subjects.ValidateConsent, subjects.ValidateConsentRequest{UserID: c.UserID, Scope: scope}, service)
				if err != nil || len(results) == 0 {
					r.Fatalf("check %d: %v, %d results left", i, err, len(results))
				}
				if results[0].Check != i || !reflect.DeepEqual(results[0].ConsentDecision, want) {
					r.Fatalf("check %d: %+v, alone %+v", i, results[0], want)
				}
				results = results[1:]
			}
		}
		if len(results) > 0 {
			r.Fatalf("%d results too many", len(results))
		}
	})
}

// TestUserHeadersAreIgnored: the headers that name a user count on service subjects only.
func TestUserHeadersAreIgnored(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada := actortest.User()
	f.mesh.Consent(t, ada, subjects.ScopeIntegrationsExecute)
	header := nats.Header{mesh.HeaderUserID: {ada}, "X-User-Id": {ada}}
	_, err := f.conn.Forward(t.Context(), subjects.ListConsents.Subject, header, nil)
	if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("got %v, want unauthenticated", err)
	}
}

// TestAPIKeysCannotManageConsents: no scope of an API key includes the endpoints of consent.
func TestAPIKeysCannotManageConsents(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	key := mesh.As{Token: f.mesh.Token(t, user, actortest.WithAPIKey(actortest.User(), subjects.ScopeWorkflowsExecute))}
	wantCode(t, f, subjects.CodeForbidden, subjects.GrantConsent, key, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute})
	wantCode(t, f, subjects.CodeForbidden, subjects.ListConsents, key, subjects.ListConsentsRequest{})
	wantCode(t, f, subjects.CodeForbidden, subjects.RevokeConsent, key, subjects.RevokeConsentRequest{ConsentID: actortest.User()})
}
