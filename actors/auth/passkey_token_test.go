package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"

	"github.com/weftmesh/weft/actors/database"

	"github.com/descope/virtualwebauthn"

	"github.com/weftmesh/weft/subjects"
)

// passkeyDevice is a user's authenticator with one passkey, and the site that its browser shows.
type passkeyDevice struct {
	site   virtualwebauthn.RelyingParty
	device virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

func newPasskeyDevice(t testing.TB) *passkeyDevice {
	t.Helper()
	k := &passkeyDevice{
		site:   virtualwebauthn.RelyingParty{ID: "localhost", Name: "weft", Origin: "http://localhost:8080"},
		device: virtualwebauthn.NewAuthenticator(),
	}
	// virtualwebauthn drops leading zeros of a coordinate, which COSE does not allow.
	for full := false; !full; {
		k.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		parsed, err := x509.ParsePKCS8PrivateKey(k.key.Key.Data)
		if err != nil {
			t.Fatal(err)
		}
		point, err := parsed.(*ecdsa.PrivateKey).PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		full = point[1] != 0 && point[33] != 0
	}
	return k
}

// attest finishes a registration ceremony.
func (k *passkeyDevice) attest(t testing.TB, c subjects.PasskeyCeremony) json.RawMessage {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	k.device.Options.UserHandle = []byte(options.UserID)
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(k.site, k.device, k.key, *options))
}

// assert finishes a sign-in ceremony.
func (k *passkeyDevice) assert(t testing.TB, c subjects.PasskeyCeremony) json.RawMessage {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	k.key.Counter++
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(k.site, k.device, k.key, *options))
}

func (b *harness) beginPasskey(access string) subjects.PasskeyCeremony {
	b.t.Helper()
	return mustCall(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, access)
}

func finishPasskey(b *harness, access, ceremony string, credential json.RawMessage) (subjects.Passkey, error) {
	req := subjects.FinishPasskeyRegistrationRequest{CeremonyID: ceremony, Name: "my key", Credential: credential}
	return call(b, subjects.FinishPasskeyRegistration, req, access)
}

// addPasskey adds a passkey of a new authenticator to an account.
func (b *harness) addPasskey(access string) (*passkeyDevice, subjects.Passkey) {
	b.t.Helper()
	k, c := newPasskeyDevice(b.t), b.beginPasskey(access)
	p, err := finishPasskey(b, access, c.CeremonyID, k.attest(b.t, c))
	if err != nil {
		b.t.Fatal(err)
	}
	return k, p
}

func (b *harness) beginPasskeyLogin() subjects.PasskeyCeremony {
	b.t.Helper()
	return mustCall(b, subjects.BeginPasskeyLogin, subjects.Empty{}, "")
}

func finishPasskeyLogin(b *harness, ceremony string, credential json.RawMessage) (subjects.Session, error) {
	return call(b, subjects.FinishPasskeyLogin, subjects.FinishPasskeyLoginRequest{CeremonyID: ceremony, Credential: credential}, "")
}

// passkeyLogin signs in with a passkey.
func (b *harness) passkeyLogin(k *passkeyDevice) (subjects.Session, error) {
	b.t.Helper()
	c := b.beginPasskeyLogin()
	return finishPasskeyLogin(b, c.CeremonyID, k.assert(b.t, c))
}

// execOffline runs a statement on the database while the actor is stopped.
func (b *harness) execOffline(statement string) {
	b.t.Helper()
	if err := b.actor.Stop(b.t); err != nil {
		b.t.Fatal(err)
	}
	db, err := database.Open(b.t.Context(), b.database, b.Log)
	if err != nil {
		b.t.Fatal(err)
	}
	err = db.RunInTx(b.t.Context(), func(ctx context.Context, tx database.Tx) error {
		_, err := tx.NewRaw(statement).Exec(ctx)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		b.t.Fatal(err)
	}
	b.actor = b.start()
}

// addVerified registers accounts and marks their addresses verified.
func (b *harness) addVerified(emails ...string) {
	b.t.Helper()
	for _, email := range emails {
		b.register(email)
	}
	b.execOffline("UPDATE users SET email_verified = true")
}

func passkeysOf(b *harness, access string) []subjects.Passkey {
	b.t.Helper()
	return mustCall(b, subjects.ListPasskeys, subjects.ListPasskeysRequest{}, access).Items
}
