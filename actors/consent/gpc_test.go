package consent_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// signalled calls an endpoint as the gateway does for a client whose Global Privacy Control is on.
func signalled[Req, Res any](t *testing.T, f *fixture, e subjects.Endpoint[Req, Res], as mesh.As, req Req) (Res, error) {
	t.Helper()
	var res Res
	data, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{mesh.HeaderGPC: {"1"}}
	if as.Token != "" {
		header.Set(mesh.HeaderAuthorization, "Bearer "+as.Token)
	}
	reply, err := f.conn.Forward(t.Context(), e.Subject, header, data)
	if err != nil {
		return res, err
	}
	return res, json.Unmarshal(reply.Data, &res)
}

func mustSignal[Req, Res any](t *testing.T, f *fixture, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := signalled(t, f, e, as, req)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// TestGPCSuppresses: the signal of a signed-in user suppresses what was consented to before, at once and for good, and nothing but sale and
// sharing; a later opt-in that answers a notice which says so is in force, and is shown as a conflict.
func TestGPCSuppresses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, withPurposes())
		user := actortest.User()
		ada := f.user(t, user)
		guard := f.guard(t, time.Now)
		sold, news := f.grant(t, ada, adScope), f.grant(t, ada, newsScope)
		if _, err := guard.Check(t.Context(), user, adScope); err != nil {
			t.Fatal(err)
		}
		status := mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{Region: "US-CA"})
		if !status.Signal || !status.Applies || !slices.Equal(status.Suppressed, []string{adScope}) || status.Directive == nil ||
			status.Directive.Region != "US-CA" || len(status.Conflicts) != 0 {
			t.Errorf("status %+v", status)
		}
		_, err := guard.Check(t.Context(), user, adScope)
		var e *subjects.Error
		if !errors.As(err, &e) || e.Reason != subjects.ReasonGPC {
			t.Errorf("the guard says %v", err)
		}
		// The next requests have no signal: the directive stands.
		if d := f.validate(t, ada, adScope); d.Allowed || d.Reason != subjects.ConsentGPC {
			t.Errorf("decision %+v", d)
		}
		if got := f.get(t, ada, sold.ID); got.Status != subjects.ConsentGPC || got.SuppressedAt == nil {
			t.Errorf("the consent is %+v", got)
		}
		if d := f.validate(t, ada, news.Scope); !d.Allowed {
			t.Errorf("another scope: %+v", d)
		}
		if e := wantCode(t, f, subjects.CodeConflict, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: adScope}); e.Reason != subjects.ReasonGPCConflict {
			t.Errorf("an opt-in without notice: %+v", e)
		}
		f.publish(t, "ads", "ads", subjects.NoticeEditorial, "May we sell your address?")
		served := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "ads", Jurisdiction: "US-CA"})
		if !served.GPC {
			t.Errorf("the notice does not say that the directive opts out: %+v", served)
		}
		opted := mustSignal(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: adScope, NoticeToken: served.NoticeToken})
		if !opted.GPCConflict {
			t.Errorf("the opt-in has no conflict: %+v", opted.ConsentRecord)
		}
		if d := mustSignal(t, f, subjects.ValidateConsent, ada, subjects.ValidateConsentRequest{Scope: adScope}); !d.Allowed || d.ConsentID != opted.ID {
			t.Errorf("after the opt-in: %+v", d)
		}
		status = mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{})
		if len(status.Suppressed) != 0 || len(status.Conflicts) != 1 || status.Conflicts[0].ConsentID != opted.ID {
			t.Errorf("status %+v", status)
		}
		// Two grants, the suppression, the supersession and the opt-in.
		f.verifiedSoon(t, 5)
	})
}

// TestGPCBeforeConsent: the reason is gpc where the user was never asked, and a token that was served before the signal does not opt in.
func TestGPCBeforeConsent(t *testing.T) {
	t.Parallel()
	f := setupWith(t, actortest.Databases(t)[0], withPurposes())
	ada := f.user(t, actortest.User())
	f.publish(t, "ads", "ads", subjects.NoticeEditorial, "May we sell your address?")
	early := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "ads"})
	if early.GPC {
		t.Error("opted out without a signal")
	}
	if d := mustSignal(t, f, subjects.ValidateConsent, ada, subjects.ValidateConsentRequest{Scope: adScope}); d.Allowed || d.Reason != subjects.ConsentGPC || d.ConsentID != "" {
		t.Errorf("decision %+v", d)
	}
	e := wantCode(t, f, subjects.CodeConflict, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: adScope, NoticeToken: early.NoticeToken})
	if e.Reason != subjects.ReasonGPCConflict {
		t.Errorf("by an early token: %+v", e)
	}
	no := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: adScope, Decision: subjects.DecisionRefused})
	if no.Status != subjects.ConsentRefused {
		t.Errorf("a refusal: %+v", no.Consent)
	}
}

// TestGPCElsewhere: the signal is not honoured in regions without such a law, nor is one that the header does not state exactly; an anonymous
// caller's is shown and stored nowhere.
func TestGPCElsewhere(t *testing.T) {
	t.Parallel()
	f := setupWith(t, actortest.Databases(t)[0], withPurposes())
	ada := f.user(t, actortest.User())
	f.grant(t, ada, adScope)
	for _, region := range []string{"DE", "US-NY"} {
		status := mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{Region: region})
		if !status.Signal || status.Applies || len(status.Suppressed) != 0 || status.Directive != nil {
			t.Errorf("in %s: %+v", region, status)
		}
	}
	if status := call(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{Region: "US-CA"}); status.Signal || status.Directive != nil {
		t.Errorf("without a signal: %+v", status)
	}
	status := mustSignal(t, f, subjects.GPCStatusOf, mesh.As{}, subjects.GPCStatusRequest{})
	if !status.Signal || !slices.Equal(status.Suppressed, []string{adScope}) || status.Directive != nil {
		t.Errorf("anonymous: %+v", status)
	}
	if d := f.validate(t, ada, adScope); !d.Allowed {
		t.Errorf("decision %+v", d)
	}
}

// TestGPCAfterACrash: a directive that was recorded and not applied is applied at the next start, and so are directives whose purpose became a
// sale since.
func TestGPCAfterACrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		config := withPurposes()
		f := setupWith(t, database, config)
		user, other := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		sold, news := f.grant(t, ada, adScope), f.grant(t, eve, newsScope)
		mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{})
		mustSignal(t, f, subjects.GPCStatusOf, eve, subjects.GPCStatusRequest{})
		states := f.states(t)
		if _, err := states.Put(t.Context(), kv.EncodeKey(user, adScope), subjects.ConsentState{ConsentID: sold.ID, Version: 1, Status: subjects.ConsentActive}); err != nil {
			t.Fatal(err)
		}
		f.stop(t)
		p := f.config.Purposes["newsletter"]
		p.SaleOrShare = subjects.KindShare
		f.config.Purposes["newsletter"] = p
		f.start(t)
		actortest.Eventually(t, "the consents are suppressed", func() bool {
			return f.validate(t, ada, adScope).Reason == subjects.ConsentGPC && f.validate(t, eve, newsScope).Reason == subjects.ConsentGPC
		})
		if got := f.get(t, eve, news.ID); got.Status != subjects.ConsentGPC {
			t.Errorf("the consent is %+v", got)
		}
	})
}

// TestErasureOfRecords: an erasure empties what a person has written or is known by in records, and deletes directives and their states.
func TestErasureOfRecords(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, withPurposes())
		user := actortest.User()
		ada := mesh.As{Token: f.mesh.Token(t, user, actortest.WithSession("adas-session"))}
		age := 9
		secrets := []string{"adas-session", "Grace Hopper", "document-4711", "adas-place", "adas-page", user}
		call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
			Scope: newsScope, Age: &age, Guardian: &subjects.Guardian{Name: "Grace Hopper", Method: "signed_form", Evidence: "document-4711"},
			CollectionPlace: "adas-place", UIContext: "adas-page",
		})
		mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{})
		f.mesh.Forget(t, "consent", user)
		keys, err := f.states(t).Keys(t.Context(), kv.EncodeKey(user)+".*")
		if err != nil || len(keys) != 0 {
			t.Errorf("states are left: %v, %v", keys, err)
		}
		f.verifiedSoon(t, 3)
		f.stop(t)
		tables := actortest.Dump(t, f.db)
		for _, secret := range secrets {
			if strings.Contains(tables, secret) {
				t.Errorf("the tables still have %s", secret)
			}
		}
	})
}
