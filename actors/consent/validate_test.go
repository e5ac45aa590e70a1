package consent_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

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
			request.Checks = append(request.Checks, subjects.ValidateConsentRequest{Scope: scope})
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

func TestBulkValidationIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada := f.user(t, actortest.User())
	checks := make([]subjects.ValidateConsentRequest, 101)
	for i := range checks {
		checks[i].Scope = subjects.ScopeWorkflowsRead
	}
	for _, n := range []int{0, 101} {
		wantCode(t, f, subjects.CodeInvalid, subjects.BulkValidateConsents, ada, subjects.BulkValidateConsentsRequest{Checks: checks[:n]})
	}
	if got := call(t, f, subjects.BulkValidateConsents, ada, subjects.BulkValidateConsentsRequest{Checks: checks[:100]}); len(got.Results) != 100 {
		t.Errorf("%d results, want 100", len(got.Results))
	}
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
