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

// TestWhatAPasskeyLoginRefuses: whatever is wrong answers alike, and the ceremony is used up.
func TestWhatAPasskeyLoginRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("root@example.com", "ada@example.com", "eve@example.com")
		mine := b.login("ada@example.com")
		k, _ := b.withPasskey(mine.AccessToken)
		evil, _ := b.withPasskey(b.login("eve@example.com").AccessToken)
		detail := ""
		for _, wrong := range []struct {
			name   string
			change func(held *token, c *subjects.PasskeyCeremony)
		}{
			{"another origin", func(k *token, _ *subjects.PasskeyCeremony) { k.site.Origin = "http://localhost:8081" }},
			{"an origin below", func(k *token, _ *subjects.PasskeyCeremony) { k.site.Origin = "http://evil.localhost:8080" }},
			{"another scheme", func(k *token, _ *subjects.PasskeyCeremony) { k.site.Origin = "https://localhost:8080" }},
			{"another site", func(k *token, _ *subjects.PasskeyCeremony) { k.site.ID = "example.com" }},
			{"no verification", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotVerified = true }},
			{"nobody there", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotPresent = true }},
			{"another key", func(k *token, _ *subjects.PasskeyCeremony) { k.key.Key = evil.key.Key }},
			{"another handle", func(k *token, _ *subjects.PasskeyCeremony) {
				k.device.Options.UserHandle = evil.device.Options.UserHandle
			}},
			{"no handle", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.UserHandle = nil }},
			{"an unknown passkey", func(k *token, _ *subjects.PasskeyCeremony) {
				fresh := newToken(t)
				fresh.device.Options.UserHandle = k.device.Options.UserHandle
				*k = *fresh
			}},
			{"other backup eligibility", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.BackupEligible = true }},
			{"an older challenge", func(_ *token, c *subjects.PasskeyCeremony) { c.Options = b.beginPasskeyLogin().Options }},
			{"no ceremony", func(_ *token, c *subjects.PasskeyCeremony) { c.CeremonyID = strings.Repeat("A", 43) }},
			{"a registration's ceremony", func(_ *token, c *subjects.PasskeyCeremony) { *c = b.beginPasskey(mine.AccessToken) }},
			{"too late", func(*token, *subjects.PasskeyCeremony) { b.clock.forward(5 * time.Minute) }},
		} {
			held, c := *k, b.beginPasskeyLogin()
			wrong.change(&held, &c)
			held.key.Counter += 100
			_, err := finishPasskeyLogin(b, c.CeremonyID, held.prove(t, c))
			e := subjects.CodeOf(err)
			if e != subjects.CodeUnauthenticated {
				t.Errorf("%s: %v", wrong.name, err)
				continue
			}
			got := refused(t, err, subjects.CodeUnauthenticated)
			if detail == "" {
				detail = got.Detail
			}
			if got.Detail != detail {
				t.Errorf("%s answers %q, others %q", wrong.name, got.Detail, detail)
			}
			_, err = finishPasskeyLogin(b, c.CeremonyID, k.prove(t, c))
			refused(t, err, subjects.CodeUnauthenticated)
		}
		c := b.beginPasskeyLogin()
		answer := k.prove(t, c)
		if _, err := finishPasskeyLogin(b, c.CeremonyID, answer); err != nil {
			t.Fatalf("after all that the passkey is refused: %v", err)
		}
		for range 2 {
			_, err := finishPasskeyLogin(b, c.CeremonyID, answer)
			refused(t, err, subjects.CodeUnauthenticated)
		}
		c = b.beginPasskeyLogin()
		_, err := finishPasskeyLogin(b, c.CeremonyID, json.RawMessage(`{"id":"x"}`))
		refused(t, err, subjects.CodeInvalid)
		_, err = finishPasskeyLogin(b, c.CeremonyID, json.RawMessage(`"`+strings.Repeat("x", 32<<10)+`"`))
		refused(t, err, subjects.CodeInvalid)
		eventually(t, "the refusals are audited", func() bool { return b.audits(t, mine.User.ID, "login", "failure") > 0 })
	})
}

func TestADisabledAccountsPasskeyIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		mine := b.login("ada@example.com")
		k, _ := b.withPasskey(mine.AccessToken)
		c := b.beginPasskeyLogin()
		b.offline("UPDATE users SET disabled = true")
		_, err := finishPasskeyLogin(b, c.CeremonyID, k.prove(t, c))
		shut := refused(t, err, subjects.CodeUnauthenticated)
		_, err = b.present(newToken(t))
		if unknown := refused(t, err, subjects.CodeUnauthenticated); shut.Detail != unknown.Detail {
			t.Errorf("a disabled account answers %q, an unknown passkey %q", shut.Detail, unknown.Detail)
		}
		b.offline("UPDATE users SET disabled = false")
		if _, err := b.present(k); err != nil {
			t.Errorf("after it was enabled again: %v", err)
		}
	})
}

func TestWhatARegistrationRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com", "eve@example.com")
		mine, evil := b.login("ada@example.com"), b.login("eve@example.com")
		for _, wrong := range []struct {
			name   string
			access string
			change func(k *token, c *subjects.PasskeyCeremony)
		}{
			{"another origin", "", func(k *token, _ *subjects.PasskeyCeremony) { k.site.Origin = "https://weft.example" }},
			{"another site", "", func(k *token, _ *subjects.PasskeyCeremony) { k.site.ID = "weft.example" }},
			{"no verification", "", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotVerified = true }},
			{"nobody there", "", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.UserNotPresent = true }},
			{"backed up, and cannot be", "", func(k *token, _ *subjects.PasskeyCeremony) { k.device.Options.BackupState = true }},
			{"an older challenge", "", func(_ *token, c *subjects.PasskeyCeremony) { c.Options = b.beginPasskey(mine.AccessToken).Options }},
			{"no ceremony", "", func(_ *token, c *subjects.PasskeyCeremony) { c.CeremonyID = "nothing" }},
			{"a login's ceremony", "", func(_ *token, c *subjects.PasskeyCeremony) { c.CeremonyID = b.beginPasskeyLogin().CeremonyID }},
			{"another user's", evil.AccessToken, func(*token, *subjects.PasskeyCeremony) {}},
			{"another session's", b.login("ada@example.com").AccessToken, func(*token, *subjects.PasskeyCeremony) {}},
			{"too late", "", func(*token, *subjects.PasskeyCeremony) { b.clock.forward(5 * time.Minute) }},
		} {
			k, c := newToken(t), b.beginPasskey(mine.AccessToken)
			access := mine.AccessToken
			if wrong.access != "" {
				access = wrong.access
			}
			wrong.change(k, &c)
			if _, err := finishPasskey(b, access, c.CeremonyID, k.make(t, c)); subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Errorf("%s: %v", wrong.name, err)
			}
		}
		// The clock has moved on: what changes a way in needs a sign-in of the last five minutes.
		b.clock.forward(time.Second)
		_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, mine.AccessToken)
		refused(t, err, subjects.CodeForbidden)
		mine = b.login("ada@example.com")
		if list := passkeysOf(b, mine.AccessToken); len(list) != 0 {
			t.Fatalf("one of them was added: %+v", list)
		}

		// Who may not finish a ceremony does not use it up; who may does, whatever comes of it.
		evil = b.login("eve@example.com")
		k, c := newToken(t), b.beginPasskey(mine.AccessToken)
		answer := k.make(t, c)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, answer)
		refused(t, err, subjects.CodeInvalid)
		if _, err = finishPasskey(b, mine.AccessToken, c.CeremonyID, answer); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = finishPasskey(b, mine.AccessToken, c.CeremonyID, answer)
			refused(t, err, subjects.CodeInvalid)
		}
		c = b.beginPasskey(evil.AccessToken)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, k.make(t, c))
		refused(t, err, subjects.CodeConflict)
		c = b.beginPasskey(evil.AccessToken)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, json.RawMessage(`{}`))
		refused(t, err, subjects.CodeInvalid)
		_, err = finishPasskey(b, evil.AccessToken, c.CeremonyID, newToken(t).make(t, c))
		refused(t, err, subjects.CodeInvalid)
	})
}

// TestAPasskeyIsAddedOnceUnderAKey: who lost the answer and asks again gets it, though the ceremony is used up.
func TestAPasskeyIsAddedOnceUnderAKey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		mine := b.login("ada@example.com")
		c := b.beginPasskey(mine.AccessToken)
		body, err := json.Marshal(subjects.FinishPasskeyRegistrationRequest{
			CeremonyID: c.CeremonyID, Name: "my key", Credential: newToken(t).make(t, c),
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
			t.Errorf("made %+v, there are %+v", made, list)
		}
	})
}

func TestAnUnverifiedAddressGetsNoPasskey(t *testing.T) {
	b := once(t)
	_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, b.signedUp("ada@example.com").AccessToken)
	refused(t, err, subjects.CodeForbidden)
	_, err = call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, "")
	refused(t, err, subjects.CodeUnauthenticated)
}

func TestAUserHasSoManyPasskeys(t *testing.T) {
	b := once(t)
	b.members("ada@example.com")
	mine := b.login("ada@example.com")
	for range 20 {
		b.withPasskey(mine.AccessToken)
	}
	_, err := call(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, mine.AccessToken)
	refused(t, err, subjects.CodeConflict)
	seen := map[string]bool{}
	req := subjects.ListPasskeysRequest{}
	req.Limit = 7
	for {
		page := must(b, subjects.ListPasskeys, req, mine.AccessToken)
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

func deletePasskey(b *bench, access, id string) error {
	_, err := call(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: id}, access)
	return err
}

func TestRemovingAPasskey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com", "eve@example.com")
		mine, evil := b.login("ada@example.com"), b.login("eve@example.com")
		k, p := b.withPasskey(mine.AccessToken)
		refused(t, deletePasskey(b, evil.AccessToken, p.ID), subjects.CodeNotFound)
		b.clock.forward(5*time.Minute + time.Second)
		refused(t, deletePasskey(b, mine.AccessToken, p.ID), subjects.CodeForbidden)
		must(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		mine = b.login("ada@example.com")
		opened, err := b.present(k)
		if err != nil {
			t.Fatal(err)
		}
		c := b.beginPasskeyLogin()
		answer := k.prove(t, c)
		if err := deletePasskey(b, mine.AccessToken, p.ID); err != nil {
			t.Fatal(err)
		}
		b.audited(t, mine.User.ID, "passkey_remove")
		if b.lives(opened, mine) {
			t.Error("the passkey's session outlived it")
		}
		for range 2 {
			refused(t, deletePasskey(b, mine.AccessToken, p.ID), subjects.CodeNotFound)
		}
		_, err = finishPasskeyLogin(b, c.CeremonyID, answer)
		refused(t, err, subjects.CodeUnauthenticated)
		if list := passkeysOf(b, mine.AccessToken); len(list) != 0 {
			t.Errorf("left are %+v", list)
		}
	})
}

func TestTheLastPasskeyStaysWhereThereIsNoPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		mine := b.login("ada@example.com")
		k, first := b.withPasskey(mine.AccessToken)
		_, second := b.withPasskey(mine.AccessToken)
		b.offline("UPDATE users SET password_hash = ''")
		both := []string{first.ID, second.ID}
		if n := passed(t, subjects.CodeConflict, together(2, func(i int) error {
			return deletePasskey(b, mine.AccessToken, both[i])
		})); n != 1 {
			t.Errorf("%d of two removals passed", n)
		}
		list := passkeysOf(b, mine.AccessToken)
		if len(list) != 1 {
			t.Fatalf("left are %+v", list)
		}
		for range 2 {
			refused(t, deletePasskey(b, mine.AccessToken, list[0].ID), subjects.CodeConflict)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		if list[0].ID == first.ID {
			if _, err := b.present(k); err != nil {
				t.Errorf("the passkey that stays is refused: %v", err)
			}
		}
	})
}

func TestAnIdentityIsAWayInBesideAPasskey(t *testing.T) {
	b, op := onceWith(t)
	first := b.signedInAt(op, "ada")
	_, p := b.withPasskey(first.AccessToken)
	if err := deletePasskey(b, first.AccessToken, p.ID); err != nil {
		t.Fatal(err)
	}
	_, p = b.withPasskey(first.AccessToken)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.config.OAuth.Providers = nil
	b.actor = b.start()
	refused(t, deletePasskey(b, first.AccessToken, p.ID), subjects.CodeConflict)
}
