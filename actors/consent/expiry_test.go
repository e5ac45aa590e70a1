package consent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const day = 24 * time.Hour

// notices is the place of the notification actor: it keeps what it is asked to send, once for each dedupe key.
type notices struct {
	mu    sync.Mutex
	calls int
	sent  map[string]subjects.SendNotificationRequest
}

func (f *fixture) notices(t *testing.T) *notices {
	t.Helper()
	n := &notices{sent: map[string]subjects.SendNotificationRequest{}}
	f.mesh.Host(t, "notification", actortest.Databases(t)[0].Config(t, "notification"), nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "notification", Bindings: []actors.Binding{actors.Bind(subjects.SendNotification, n.send)}}, nil
	})
	return n
}

func (n *notices) send(ctx context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if actors.CallerFrom(ctx).Service != "consent" || r.DedupeKey == "" {
		return subjects.NotificationRef{}, fmt.Errorf("a notice of %+v: %+v", actors.CallerFrom(ctx), r)
	}
	n.sent[r.DedupeKey] = r
	return subjects.NotificationRef{NotificationID: actortest.User(), Status: "accepted"}, nil
}

func (n *notices) count() (calls, sent int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls, len(n.sent)
}

// of returns the notice about a consent and its variables.
func (n *notices) of(t *testing.T, consentID string) (subjects.SendNotificationRequest, map[string]string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.sent["consent.expiring."+consentID]
	data := map[string]string{}
	for name, value := range r.Data {
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			t.Fatal(err)
		}
		data[name] = text
	}
	return r, data
}

// TestUsersAreToldBeforeAConsentExpires: once for each consent, by whichever process, also where the notification actor or all processes were away
// when the notice was due, and in the second half of its lifetime at the earliest.
func TestUsersAreToldBeforeAConsentExpires(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		config := consent.DefaultConfig()
		config.RenewURL = "https://app.example/consents?from=mail"
		f := setupWith(t, database, config, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		in := func(scope string, life time.Duration) subjects.GrantedConsent {
			expires := clock.Now().Add(life)
			return call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: scope, ExpiresAt: &expires})
		}
		soon := in(subjects.ScopeWorkflowsExecute, 30*day)
		short := in(subjects.ScopeWorkflowsRead, 20*day) // half of its lifetime is left at 10 days
		later := in(subjects.ScopeIntegrationsRead, 60*day)
		renewed := in(subjects.ScopeUserProfileRead, 30*day)
		in(subjects.ScopeUserProfileRead, 365*day)
		revoked := in(subjects.ScopeNotificationsSend, 30*day)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: revoked.ID})
		f.stop(t)

		clock.Advance(17 * day)
		f.start(t) // nobody receives notices yet
		n := f.notices(t)
		f.stop(t)
		if database.Name == "postgres" {
			f.start(t)
		}
		f.start(t)
		actortest.Eventually(t, "two notices", func() bool { _, sent := n.count(); return sent == 2 })
		r, data := n.of(t, soon.ID)
		if r.UserID != user || r.Category != "consent" || r.Template != subjects.TemplateConsentExpiring || len(r.Channels) != 2 {
			t.Errorf("the notice: %+v", r)
		}
		if data["link"] != "https://app.example/consents?consent_id="+soon.ID+"&from=mail&scope=workflows.execute" || data["scope"] != soon.Scope ||
			data["expires_at"] != soon.ExpiresAt.Truncate(time.Second).Format(time.RFC3339) || data["consent_id"] != soon.ID {
			t.Errorf("the notice's data: %v", data)
		}
		if r, _ := n.of(t, short.ID); r.UserID != user {
			t.Errorf("the notice of the shorter consent: %+v", r)
		}
		for _, c := range []subjects.GrantedConsent{later, renewed, revoked} {
			if r, _ := n.of(t, c.ID); r.UserID != "" {
				t.Errorf("a notice about %s", c.Scope)
			}
		}
		f.stop(t)
		calls, _ := n.count()
		f.start(t)
		ada = f.user(t, user)
		again := in(subjects.ScopeIntegrationsConnect, 2*time.Minute)
		clock.Advance(61 * time.Second)
		f.stop(t)
		f.start(t)
		actortest.Eventually(t, "the notice of a consent of two minutes", func() bool { r, _ := n.of(t, again.ID); return r.UserID == user })
		if now, sent := n.count(); sent != 3 || now > calls+3 { // a stop before a notice is recorded repeats it
			t.Errorf("%d notices in %d calls, after %d", sent, now, calls)
		}
	})
}

// TestManyExpiringConsents: a sweep goes through more consents than it reads at a time, and one that is refused does not hold up the others.
func TestManyExpiringConsents(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	f.stop(t)
	const consents = 405
	insertConsents(t, f, consents, "active", func(i int) (granted, expires, revoked time.Time) {
		return time.Now().Add(-day), time.Now().Add(time.Hour + time.Duration(i/3)*time.Second), time.Time{}
	})
	n := f.notices(t)
	f.start(t)
	actortest.Eventually(t, "all notices", func() bool { _, sent := n.count(); return sent == consents })
	if calls, _ := n.count(); calls != consents {
		t.Errorf("%d calls for %d notices", calls, consents)
	}
}

// TestConsentsExpireWithoutTheActor: a consent ends at its time although no consent actor runs, for guards at once and for the list afterwards.
func TestConsentsExpireWithoutTheActor(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], actortest.WithClock(clock.Now))
	user := actortest.User()
	ada := f.user(t, user)
	expires := clock.Now().Add(time.Hour)
	c := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeIntegrationsExecute, ExpiresAt: &expires})
	guard := f.guard(t, clock.Now)
	grant, err := guard.Check(t.Context(), user, c.Scope)
	if err != nil {
		t.Fatal(err)
	}
	f.stop(t)
	clock.Advance(time.Hour)
	for name, grant := range map[string]mesh.Grant{"any": {UserID: user}, "its own": grant} {
		err := guard.Do(t.Context(), grant, c.Scope, func(context.Context, func()) error { t.Error("started"); return nil })
		if subjects.CodeOf(err) != subjects.CodeConsentRequired || !strings.Contains(err.Error(), "expired") {
			t.Errorf("under %s grant: %v", name, err)
		}
	}
	f.start(t)
	ada = f.user(t, user)
	if d := f.validate(t, ada, c.Scope); d.Reason != subjects.ConsentExpired || f.get(t, ada, c.ID).Status != subjects.ConsentExpired {
		t.Errorf("decision: %+v", d)
	}
}
