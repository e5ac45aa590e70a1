package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// token is a user's authenticator with one passkey, and the site that the browser believes to be on.
type token struct {
	site   virtualwebauthn.RelyingParty
	device virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

func newToken(t testing.TB) *token {
	t.Helper()
	k := &token{
		site:   virtualwebauthn.RelyingParty{ID: "localhost", Name: "weft", Origin: "http://localhost:8080"},
		device: virtualwebauthn.NewAuthenticator(),
	}
	// virtualwebauthn drops a coordinate's leading zeros, which COSE does not allow.
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

// make answers a ceremony of registration.
func (k *token) make(t testing.TB, c subjects.PasskeyCeremony) json.RawMessage {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	k.device.Options.UserHandle = []byte(options.UserID)
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(k.site, k.device, k.key, *options))
}

// prove answers a ceremony of a sign-in.
func (k *token) prove(t testing.TB, c subjects.PasskeyCeremony) json.RawMessage {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	k.key.Counter++
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(k.site, k.device, k.key, *options))
}

func (b *bench) beginPasskey(access string) subjects.PasskeyCeremony {
	b.t.Helper()
	return must(b, subjects.BeginPasskeyRegistration, subjects.Empty{}, access)
}

func finishPasskey(b *bench, access, ceremony string, credential json.RawMessage) (subjects.Passkey, error) {
	req := subjects.FinishPasskeyRegistrationRequest{CeremonyID: ceremony, Name: "my key", Credential: credential}
	return call(b, subjects.FinishPasskeyRegistration, req, access)
}

// withPasskey adds a new authenticator's passkey to an account.
func (b *bench) withPasskey(access string) (*token, subjects.Passkey) {
	b.t.Helper()
	k, c := newToken(b.t), b.beginPasskey(access)
	p, err := finishPasskey(b, access, c.CeremonyID, k.make(b.t, c))
	if err != nil {
		b.t.Fatal(err)
	}
	return k, p
}

func (b *bench) beginPasskeyLogin() subjects.PasskeyCeremony {
	b.t.Helper()
	return must(b, subjects.BeginPasskeyLogin, subjects.Empty{}, "")
}

func finishPasskeyLogin(b *bench, ceremony string, credential json.RawMessage) (subjects.Session, error) {
	return call(b, subjects.FinishPasskeyLogin, subjects.FinishPasskeyLoginRequest{CeremonyID: ceremony, Credential: credential}, "")
}

// present signs in with a passkey.
func (b *bench) present(k *token) (subjects.Session, error) {
	b.t.Helper()
	c := b.beginPasskeyLogin()
	return finishPasskeyLogin(b, c.CeremonyID, k.prove(b.t, c))
}

// offline runs a statement on the database while the actor is stopped.
func (b *bench) offline(statement string) {
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

// members opens accounts with verified addresses.
func (b *bench) members(emails ...string) {
	b.t.Helper()
	for _, email := range emails {
		b.register(email)
	}
	b.offline("UPDATE users SET email_verified = true")
}

func passkeysOf(b *bench, access string) []subjects.Passkey {
	b.t.Helper()
	return must(b, subjects.ListPasskeys, subjects.ListPasskeysRequest{}, access).Items
}
