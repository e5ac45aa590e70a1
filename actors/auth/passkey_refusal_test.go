package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestPasskeySignInRefusals: every refusal has the same reply and consumes the ceremony.
func TestPasskeySignInRefusals(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("root@example.com", "ada@example.com", "eve@example.com")
		mine := b.login("ada@example.com")
		k, _ := b.addPasskey(mine.AccessToken)
		evil, _ := b.addPasskey(b.login("eve@example.com").AccessToken)
		detail := ""
		for _, wrong := range []struct {
			name   string
			change func(held *passkeyDevice, c *subjects.PasskeyCeremony)
		}{
			{"another origin", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.Origin = "http://localhost:8081" }},
			{"a subdomain's origin", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.Origin = "http://evil.localhost:8080" }},
			{"another scheme", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.Origin = "https://localhost:8080" }},
			{"another site", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.ID = "example.com" }},
			{"no user verification", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotVerified = true }},
			{"user not present", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotPresent = true }},
			{"another key", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.key.Key = evil.key.Key }},
			{"another user handle", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) {
				k.device.Options.UserHandle = evil.device.Options.UserHandle
			}},
			{"no user handle", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.UserHandle = nil }},
			{"an unknown passkey", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) {
				fresh := newPasskeyDevice(t)
				fresh.device.Options.UserHandle = k.device.Options.UserHandle
				*k = *fresh
			}},
			{"other backup eligibility", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.BackupEligible = true }},
			{"an older challenge", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) { c.Options = b.beginPasskeyLogin().Options }},
			{"no ceremony", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) { c.CeremonyID = strings.Repeat("A", 43) }},
			{"a registration's ceremony", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) { *c = b.beginPasskey(mine.AccessToken) }},
			{"too late", func(*passkeyDevice, *subjects.PasskeyCeremony) { b.clock.advance(5 * time.Minute) }},
		} {
			held, c := *k, b.beginPasskeyLogin()
			wrong.change(&held, &c)
			held.key.Counter += 100
			_, err := finishPasskeyLogin(b, c.CeremonyID, held.assert(t, c))
			e := subjects.CodeOf(err)
			if e != subjects.CodeUnauthenticated {
				t.Errorf("%s: %v", wrong.name, err)
				continue
			}
			got := requireCode(t, err, subjects.CodeUnauthenticated)
			if detail == "" {
				detail = got.Detail
			}
			if got.Detail != detail {
				t.Errorf("%s: reply %q, want %q", wrong.name, got.Detail, detail)
			}
			_, err = finishPasskeyLogin(b, c.CeremonyID, k.assert(t, c))
			requireCode(t, err, subjects.CodeUnauthenticated)
		}
		c := b.beginPasskeyLogin()
		answer := k.assert(t, c)
		if _, err := finishPasskeyLogin(b, c.CeremonyID, answer); err != nil {
			t.Fatalf("after the refusals the passkey is refused: %v", err)
		}
		for range 2 {
			_, err := finishPasskeyLogin(b, c.CeremonyID, answer)
			requireCode(t, err, subjects.CodeUnauthenticated)
		}
		c = b.beginPasskeyLogin()
		_, err := finishPasskeyLogin(b, c.CeremonyID, json.RawMessage(`{"id":"x"}`))
		requireCode(t, err, subjects.CodeInvalid)
		_, err = finishPasskeyLogin(b, c.CeremonyID, json.RawMessage(`"`+strings.Repeat("x", 32<<10)+`"`))
		requireCode(t, err, subjects.CodeInvalid)
		eventually(t, "the refusals are audited", func() bool { return b.countAudits(t, mine.User.ID, "login", "failure") > 0 })
	})
}

func TestDisabledAccountCannotSignInWithAPasskey(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		mine := b.login("ada@example.com")
		k, _ := b.addPasskey(mine.AccessToken)
		c := b.beginPasskeyLogin()
		b.execOffline("UPDATE users SET disabled = true")
		_, err := finishPasskeyLogin(b, c.CeremonyID, k.assert(t, c))
		shut := requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = b.passkeyLogin(newPasskeyDevice(t))
		if unknown := requireCode(t, err, subjects.CodeUnauthenticated); shut.Detail != unknown.Detail {
			t.Errorf("reply for a disabled account %q, for an unknown passkey %q", shut.Detail, unknown.Detail)
		}
		b.execOffline("UPDATE users SET disabled = false")
		if _, err := b.passkeyLogin(k); err != nil {
			t.Errorf("after it was enabled again: %v", err)
		}
	})
}

func TestPasskeyRegistrationRefusals(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com", "eve@example.com")
		mine, evil := b.login("ada@example.com"), b.login("eve@example.com")
		for _, wrong := range []struct {
			name   string
			access string
			change func(k *passkeyDevice, c *subjects.PasskeyCeremony)
		}{
			{"another origin", "", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.Origin = "https://weft.example" }},
			{"another site", "", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.site.ID = "weft.example" }},
			{"no user verification", "", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotVerified = true }},
			{"user not present", "", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotPresent = true }},
			{"backed up without backup eligibility", "", func(k *passkeyDevice, _ *subjects.PasskeyCeremony) { k.device.Options.BackupState = true }},
			{"an older challenge", "", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) {
				c.Options = b.beginPasskey(mine.AccessToken).Options
			}},
			{"no ceremony", "", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) { c.CeremonyID = "nothing" }},
			{"a login's ceremony", "", func(_ *passkeyDevice, c *subjects.PasskeyCeremony) { c.CeremonyID = b.beginPasskeyLogin().CeremonyID }},
			{"another user's", evil.AccessToken, func(*passkeyDevice, *subjects.PasskeyCeremony) {}},
			{"another session's", b.login("ada@example.com").AccessToken, func(*passkeyDevice, *subjects.PasskeyCeremony) {}},
			{"too late", "", func(*passkeyDevice, *subjects.PasskeyCeremony) { b.clock.advance(5 * time.Minute) }},
		} {
			k, c := newPasskeyDevice(t), b.beginPasskey(mine.AccessToken)
			access := mine.AccessToken
			if wrong.access != "" {
				access = wrong.access
			}
			wrong.change(k, &c)
			if _, err := finishPasskey(b, access, c.CeremonyID, k.attest(t, c)); subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Errorf("%s: %v", wrong.name, err)
			}
		}
		// The clock has advanced: changes of credentials require a sign-in within five minutes.
		b.clock.advance(time.Second)
		_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, mine.AccessToken)
		requireCode(t, err, subjects.CodeForbidden)
		mine = b.login("ada@example.com")
		if list := passkeysOf(b, mine.AccessToken); len(list) != 0 {
			t.Fatalf("a refused passkey was added: %+v", list)
		}

		// A caller that may not finish a ceremony does not consume it; one that may does, even if it fails.
		evil = b.login("eve@example.com")
		k, c := newPasskeyDevice(t), b.beginPasskey(mine.AccessToken)
		answer := k.attest(t, c)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, answer)
		requireCode(t, err, subjects.CodeInvalid)
		if _, err = finishPasskey(b, mine.AccessToken, c.CeremonyID, answer); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = finishPasskey(b, mine.AccessToken, c.CeremonyID, answer)
			requireCode(t, err, subjects.CodeInvalid)
		}
		c = b.beginPasskey(evil.AccessToken)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, k.attest(t, c))
		requireCode(t, err, subjects.CodeConflict)
		c = b.beginPasskey(evil.AccessToken)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, json.RawMessage(`{}`))
		requireCode(t, err, subjects.CodeInvalid)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, newPasskeyDevice(t).attest(t, c))
		requireCode(t, err, subjects.CodeInvalid)
	})
}

// TestPasskeyRegistrationIsIdempotent: a repeated call with the same idempotency key gets the same reply, although the
// ceremony is consumed.
func TestPasskeyRegistrationIsIdempotent(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		mine := b.login("ada@example.com")
		c := b.beginPasskey(mine.AccessToken)
		body, err := json.Marshal(subjects.FinishPasskeyRegistrationRequest{
			CeremonyID: c.CeremonyID, Name: "my key", Credential: newPasskeyDevice(t).attest(t, c),
		})
		if err != nil {
			t.Fatal(err)
		}
		header := nats.Header{mesh.HeaderAuthorization: {"Bearer " + mine.AccessToken}, mesh.HeaderIdempotencyKey: {"k1"}}
		var made [2]subjects.Passkey
		for i := range made {
			answer, err := b.gateway.Forward(t.Context(), subjects.FinishPasskeyRegistration.Subject, header, body)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(answer.Data, &made[i]); err != nil {
				t.Fatal(err)
			}
		}
		if list := passkeysOf(b, mine.AccessToken); len(list) != 1 || list[0].ID != made[0].ID || made[1].ID != made[0].ID {
			t.Errorf("created %+v, listed %+v", made, list)
		}
	})
}

func TestPasskeyRequiresVerifiedAddress(t *testing.T) {
	b := onSQLite(t)
	_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, b.signUp("ada@example.com").AccessToken)
	requireCode(t, err, subjects.CodeForbidden)
	_, err = call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestPasskeyLimit(t *testing.T) {
	b := onSQLite(t)
	b.addVerified("ada@example.com")
	mine := b.login("ada@example.com")
	for range 20 {
		b.addPasskey(mine.AccessToken)
	}
	_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, mine.AccessToken)
	requireCode(t, err, subjects.CodeRateLimited)
	seen := map[string]bool{}
	req := subjects.ListPasskeysRequest{}
	req.Limit = 7
	for {
		page := mustCall(b, subjects.ListPasskeys, req, mine.AccessToken)
		for _, p := range page.Items {
			seen[p.ID] = true
		}
		if req.Cursor = page.NextCursor; req.Cursor == "" {
			break
		}
	}
	if len(seen) != 20 {
		t.Errorf("the pages list %d of 20", len(seen))
	}
}

func deletePasskey(b *harness, access, id string) error {
	_, err := call(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: id}, access)
	return err
}

func TestDeletePasskey(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com", "eve@example.com")
		mine, evil := b.login("ada@example.com"), b.login("eve@example.com")
		k, p := b.addPasskey(mine.AccessToken)
		requireCode(t, deletePasskey(b, evil.AccessToken, p.ID), subjects.CodeNotFound)
		b.clock.advance(5*time.Minute + time.Second)
		requireCode(t, deletePasskey(b, mine.AccessToken, p.ID), subjects.CodeForbidden)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		mine = b.login("ada@example.com")
		opened, err := b.passkeyLogin(k)
		if err != nil {
			t.Fatal(err)
		}
		c := b.beginPasskeyLogin()
		answer := k.assert(t, c)
		if err := deletePasskey(b, mine.AccessToken, p.ID); err != nil {
			t.Fatal(err)
		}
		b.waitForAudit(t, mine.User.ID, "passkey_remove")
		if b.isLive(opened, mine) {
			t.Error("the passkey's session survived its removal")
		}
		for range 2 {
			requireCode(t, deletePasskey(b, mine.AccessToken, p.ID), subjects.CodeNotFound)
		}
		_, err = finishPasskeyLogin(b, c.CeremonyID, answer)
		requireCode(t, err, subjects.CodeUnauthenticated)
		if list := passkeysOf(b, mine.AccessToken); len(list) != 0 {
			t.Errorf("the passkeys left are %+v", list)
		}
	})
}

func TestLastPasskeyCannotBeDeletedWithoutPassword(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		mine := b.login("ada@example.com")
		k, first := b.addPasskey(mine.AccessToken)
		_, second := b.addPasskey(mine.AccessToken)
		b.execOffline("UPDATE users SET password_hash = ''")
		both := []string{first.ID, second.ID}
		if n := countPassed(t, subjects.CodeConflict, concurrently(2, func(i int) error {
			return deletePasskey(b, mine.AccessToken, both[i])
		})); n != 1 {
			t.Errorf("%d of two removals succeeded, want 1", n)
		}
		list := passkeysOf(b, mine.AccessToken)
		if len(list) != 1 {
			t.Fatalf("the passkeys left are %+v", list)
		}
		for range 2 {
			requireCode(t, deletePasskey(b, mine.AccessToken, list[0].ID), subjects.CodeConflict)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		if list[0].ID == first.ID {
			if _, err := b.passkeyLogin(k); err != nil {
				t.Errorf("the remaining passkey is refused: %v", err)
			}
		}
	})
}

func TestLastPasskeyCanBeRemovedBesideAnIdentity(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	first := b.mustOAuthSignIn(op, "ada")
	_, p := b.addPasskey(first.AccessToken)
	if err := deletePasskey(b, first.AccessToken, p.ID); err != nil {
		t.Fatal(err)
	}
	_, p = b.addPasskey(first.AccessToken)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.config.OAuth.Providers = nil
	b.actor = b.start()
	requireCode(t, deletePasskey(b, first.AccessToken, p.ID), subjects.CodeConflict)
}
