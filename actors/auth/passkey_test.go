package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

func TestPasskeySignIn(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		other, mine := b.login("ada@example.com"), b.login("ada@example.com")
		before := b.metric("auth_logins_total", "success")
		k := newPasskeyDevice(t)
		k.device.Options.BackupEligible, k.device.Options.BackupState = true, true
		c := b.beginPasskey(mine.AccessToken)
		made, err := finishPasskey(b, mine.AccessToken, c.CeremonyID, k.attest(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if made.Name != "my key" || made.Status != subjects.PasskeyActive || !made.Synced || !made.LastUsedAt.IsZero() {
			t.Errorf("created %+v", made)
		}
		b.waitForAudit(t, mine.User.ID, "passkey_add")
		if b.isLive(other, mine) {
			t.Error("another session survived the change of factors")
		}
		b.enableTOTP(mine.AccessToken)

		k.device.Options.BackupState = false
		session, err := b.passkeyLogin(k)
		if err != nil {
			t.Fatal(err)
		}
		if session.User.ID != mine.User.ID || session.MFAToken != "" || session.RefreshToken == "" || session.DeviceToken == "" {
			t.Fatalf("got %+v from a passkey sign-in", session)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		list := passkeysOf(b, session.AccessToken)
		if len(list) != 1 || list[0].ID != made.ID || list[0].Synced || list[0].LastUsedAt.IsZero() {
			t.Errorf("after a sign-in the list is %+v", list)
		}
		if n := b.metric("auth_logins_total", "success") - before; n != 1 {
			t.Errorf("%v logins were counted, want 1", n)
		}
		b.waitForAudit(t, mine.User.ID, "login")
	})
}

// isLive reports whether the session s is live; mine must be.
func (b *harness) isLive(s, mine subjects.Session) bool {
	b.t.Helper()
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, s.AccessToken)
	return err == nil
}

// TestPasskeyOptions tests the options of WebAuthn Level 3 §5.4 and §5.5: a discoverable credential, user verification,
// no attestation, and at sign-in nothing about accounts.
func TestPasskeyOptions(t *testing.T) {
	b := onSQLite(t)
	b.addVerified("ada@example.com")
	mine := b.login("ada@example.com")
	b.addPasskey(mine.AccessToken)
	var creation struct {
		RP          struct{ ID, Name string }
		User        struct{ ID, Name, DisplayName string }
		Challenge   string
		Attestation string
		Timeout     int
		Selection   struct {
			ResidentKey, UserVerification string
			RequireResidentKey            bool
		} `json:"authenticatorSelection"`
		Exclude []struct{ ID string } `json:"excludeCredentials"`
	}
	c := b.beginPasskey(mine.AccessToken)
	if err := json.Unmarshal(c.Options, &creation); err != nil {
		t.Fatal(err)
	}
	s := creation.Selection
	if creation.RP.ID != "localhost" || creation.RP.Name != "weft" || creation.User.Name != "ada@example.com" ||
		creation.User.DisplayName != "Ada Lovelace" || s.ResidentKey != "required" || !s.RequireResidentKey ||
		s.UserVerification != "required" || len(creation.Exclude) != 1 || creation.Attestation != "none" ||
		creation.Timeout != 300_000 || len(creation.Challenge) < 22 || c.ExpiresIn != 300 {
		t.Errorf("the options of a registration are %s", c.Options)
	}
	var request map[string]any
	if err := json.Unmarshal(b.beginPasskeyLogin().Options, &request); err != nil {
		t.Fatal(err)
	}
	delete(request, "challenge")
	if len(request) != 3 || request["rpId"] != "localhost" || request["userVerification"] != "required" || request["timeout"] != 300_000. {
		t.Errorf("the options of a sign-in are %v", request)
	}
}

func TestConcurrentCeremonyFinishes(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		mine := b.login("ada@example.com")
		k := newPasskeyDevice(t)
		c := b.beginPasskey(mine.AccessToken)
		answer := k.attest(t, c)
		if n := countPassed(t, subjects.CodeInvalid, concurrently(20, func(int) error {
			_, err := finishPasskey(b, mine.AccessToken, c.CeremonyID, answer)
			return err
		})); n != 1 {
			t.Errorf("%d of 20 registrations succeeded, want 1", n)
		}
		if list := passkeysOf(b, mine.AccessToken); len(list) != 1 {
			t.Errorf("there are %d passkeys", len(list))
		}
		c = b.beginPasskeyLogin()
		answer = k.assert(t, c)
		if n := countPassed(t, subjects.CodeUnauthenticated, concurrently(20, func(int) error {
			_, err := finishPasskeyLogin(b, c.CeremonyID, answer)
			return err
		})); n != 1 {
			t.Errorf("%d of 20 logins succeeded, want 1", n)
		}
		page := mustCall(b, subjects.ListSessions, subjects.ListSessionsRequest{}, mine.AccessToken)
		if len(page.Items) != 2 {
			t.Errorf("there are %d sessions, want this one and the passkey's", len(page.Items))
		}
		for _, result := range []string{"failure", "error"} {
			if n, want := b.metric("auth_logins_total", result), map[string]float64{"failure": 19}[result]; n != want {
				t.Errorf("%v logins counted as %s, want %v", n, result, want)
			}
		}
	})
}

// countPassed returns the number of nil errors. The others must have the code.
func countPassed(t testing.TB, code subjects.Code, errs []error) int {
	t.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
			continue
		}
		requireCode(t, err, code)
	}
	return n
}

func TestClonedPasskeyIsSuspended(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		box := b.mailbox()
		mine := b.login("ada@example.com")
		k, _ := b.addPasskey(mine.AccessToken)
		k.key.Counter = 40
		if _, err := b.passkeyLogin(k); err != nil {
			t.Fatal(err)
		}
		copied := *k // its next signature count equals the original's
		if _, err := b.passkeyLogin(k); err != nil {
			t.Fatal(err)
		}
		_, err := b.passkeyLogin(&copied)
		requireCode(t, err, subjects.CodeUnauthenticated)
		if list := passkeysOf(b, mine.AccessToken); len(list) != 1 || list[0].Status != subjects.PasskeySuspended {
			t.Errorf("the list is %+v", list)
		}
		for _, held := range []*passkeyDevice{k, &copied} {
			held.key.Counter = 100
			_, err := b.passkeyLogin(held)
			requireCode(t, err, subjects.CodeUnauthenticated)
		}
		const subject = subjects.TemplatePasskeySuspended
		if got := box.waitFor("ada@example.com", subject, 1); !got.listed || !strings.Contains(got.body, "my key") {
			t.Errorf("the notice is %+v", got)
		}
		// The outbox keeps a user's order: once the last refusal has arrived, all earlier ones have too.
		eventually(t, "the refusals are audited", func() bool { return b.countAudits(t, mine.User.ID, "login", "failure") == 3 })
		if n := b.countAudits(t, mine.User.ID, "passkey_copy", "failure"); n != 1 {
			t.Errorf("the cloned passkey is audited %d times, want 1", n)
		}
	})
}

// countAudits returns the number of a user's audit events with an action and an outcome.
func (b *harness) countAudits(t testing.TB, userID, action, outcome string) int {
	t.Helper()
	stream, err := b.Conn(t, "auth").JS.Stream(t.Context(), subjects.Audit.Name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var e subjects.AuthAuditEntry
		if err := json.Unmarshal(msg.Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.UserID == userID && e.Action == action && e.Outcome == outcome {
			n++
		}
	}
	return n
}

// TestPasskeySignCountMayStayZero: authenticators that sync do not count (WebAuthn Level 3 §6.1.1).
func TestPasskeySignCountMayStayZero(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		k, _ := b.addPasskey(b.login("ada@example.com").AccessToken)
		for range 3 {
			k.key.Counter = ^uint32(0) // overflows to zero
			if _, err := b.passkeyLogin(k); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.advance(time.Second)
		k.key.Counter = 6
		if _, err := b.passkeyLogin(k); err != nil {
			t.Fatal(err)
		}
		k.key.Counter = ^uint32(0)
		_, err := b.passkeyLogin(k)
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}
