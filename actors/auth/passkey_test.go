package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

func TestAPasskeySignsInWithoutAnythingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		other, mine := b.login("ada@example.com"), b.login("ada@example.com")
		before := b.metric("auth_logins_total", "success")
		k := newToken(t)
		k.device.Options.BackupEligible, k.device.Options.BackupState = true, true
		c := b.beginPasskey(mine.AccessToken)
		made, err := finishPasskey(b, mine.AccessToken, c.CeremonyID, k.make(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if made.Name != "my key" || made.Status != "active" || !made.Synced || !made.LastUsedAt.IsZero() {
			t.Errorf("made: %+v", made)
		}
		b.audited(t, mine.User.ID, "passkey_add")
		if b.lives(other, mine) {
			t.Error("the other session outlived a change of factors")
		}
		b.withTOTP(mine.AccessToken)

		k.device.Options.BackupState = false
		session, err := b.present(k)
		if err != nil {
			t.Fatal(err)
		}
		if session.User.ID != mine.User.ID || session.MFAToken != "" || session.RefreshToken == "" || session.DeviceToken == "" {
			t.Fatalf("a passkey login answers %+v", session)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		list := passkeysOf(b, session.AccessToken)
		if len(list) != 1 || list[0].ID != made.ID || list[0].Synced || list[0].LastUsedAt.IsZero() {
			t.Errorf("after a login the list is %+v", list)
		}
		if n := b.metric("auth_logins_total", "success") - before; n != 1 {
			t.Errorf("%v logins were counted, want 1", n)
		}
		b.audited(t, mine.User.ID, "login")
	})
}

// lives tells whether a session lives; mine must.
func (b *bench) lives(s, mine subjects.Session) bool {
	b.t.Helper()
	must(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, s.AccessToken)
	return err == nil
}

// TestWhatABrowserIsAsked holds the options to WebAuthn Level 3 §5.4 and §5.5: a discoverable credential, a verified
// user, no attestation, and at a login no word about accounts.
func TestWhatABrowserIsAsked(t *testing.T) {
	b := once(t)
	b.members("ada@example.com")
	mine := b.login("ada@example.com")
	b.withPasskey(mine.AccessToken)
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
		t.Errorf("creation asks %s", c.Options)
	}
	var request map[string]any
	if err := json.Unmarshal(b.beginPasskeyLogin().Options, &request); err != nil {
		t.Fatal(err)
	}
	delete(request, "challenge")
	if len(request) != 3 || request["rpId"] != "localhost" || request["userVerification"] != "required" || request["timeout"] != 300_000. {
		t.Errorf("a login asks %v", request)
	}
}

func TestParallelFinishes(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		mine := b.login("ada@example.com")
		k := newToken(t)
		c := b.beginPasskey(mine.AccessToken)
		answer := k.make(t, c)
		if n := passed(t, subjects.CodeInvalid, together(20, func(int) error {
			_, err := finishPasskey(b, mine.AccessToken, c.CeremonyID, answer)
			return err
		})); n != 1 {
			t.Errorf("%d of 20 registrations passed", n)
		}
		if list := passkeysOf(b, mine.AccessToken); len(list) != 1 {
			t.Errorf("there are %d passkeys", len(list))
		}
		c = b.beginPasskeyLogin()
		answer = k.prove(t, c)
		if n := passed(t, subjects.CodeUnauthenticated, together(20, func(int) error {
			_, err := finishPasskeyLogin(b, c.CeremonyID, answer)
			return err
		})); n != 1 {
			t.Errorf("%d of 20 logins passed", n)
		}
		page := must(b, subjects.ListSessions, subjects.ListSessionsRequest{}, mine.AccessToken)
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

// passed counts the calls that passed; the others must have been refused with the code.
func passed(t testing.TB, code subjects.Code, errs []error) int {
	t.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
			continue
		}
		refused(t, err, code)
	}
	return n
}

func TestACopiedPasskeyIsSuspended(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		box := b.mailbox()
		mine := b.login("ada@example.com")
		k, _ := b.withPasskey(mine.AccessToken)
		k.key.Counter = 40
		if _, err := b.present(k); err != nil {
			t.Fatal(err)
		}
		copied := *k // whose next count is the original's
		if _, err := b.present(k); err != nil {
			t.Fatal(err)
		}
		_, err := b.present(&copied)
		refused(t, err, subjects.CodeUnauthenticated)
		if list := passkeysOf(b, mine.AccessToken); len(list) != 1 || list[0].Status != "suspended" {
			t.Errorf("the list is %+v", list)
		}
		for _, held := range []*token{k, &copied} {
			held.key.Counter = 100
			_, err := b.present(held)
			refused(t, err, subjects.CodeUnauthenticated)
		}
		const subject = "A passkey of yours was suspended"
		if got := box.wait("ada@example.com", subject, 1); !got.listed || !strings.Contains(got.body, "my key") {
			t.Errorf("the notice is %+v", got)
		}
		// The outbox keeps a user's order: once the latest refusal is there, all before it is.
		eventually(t, "the refusals are audited", func() bool { return b.audits(t, mine.User.ID, "login", "failure") == 3 })
		if n := b.audits(t, mine.User.ID, "passkey_copy", "failure"); n != 1 {
			t.Errorf("the copy is in the audit %d times", n)
		}
	})
}

// audits counts a user's security events of a kind.
func (b *bench) audits(t testing.TB, userID, action, outcome string) int {
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
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
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

// TestACounterThatStaysZero: authenticators that sync do not count (WebAuthn Level 3 §6.1.1).
func TestACounterThatStaysZero(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		k, _ := b.withPasskey(b.login("ada@example.com").AccessToken)
		for range 3 {
			k.key.Counter = ^uint32(0) // one more is zero
			if _, err := b.present(k); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.forward(time.Second)
		k.key.Counter = 6
		if _, err := b.present(k); err != nil {
			t.Fatal(err)
		}
		k.key.Counter = ^uint32(0)
		_, err := b.present(k)
		refused(t, err, subjects.CodeUnauthenticated)
	})
}
