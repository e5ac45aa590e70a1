package mesh_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The server does not check permissions for the reply subject of a JetStream API request: a user that can write a stream and read
// it by direct get can have the server copy a message into a bucket of another user (a confused deputy). These tests do that and
// check that such messages are ignored.

// plant makes the server copy a message of the consent ledger, written by consent, to a key of a bucket.
func plant(t *testing.T, m *actortest.Mesh, bucket kv.Spec, key string, value any) {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	consent := m.Conn(t, "consent")
	ack, err := consent.JS.Publish(t.Context(), subjects.LedgerSubject("planted"), body)
	if err != nil {
		t.Fatal(err)
	}
	target := "$KV." + bucket.Name + "." + key
	if err := consent.PublishRequest("$JS.API.DIRECT.GET."+subjects.Ledger.Name, target, fmt.Appendf(nil, `{"seq":%d}`, ack.Sequence)); err != nil {
		t.Fatal(err)
	}
	operator := m.Conn(t, "operator")
	actortest.Eventually(t, "the message is in the bucket", func() bool {
		stream, err := operator.JS.Stream(t.Context(), bucket.Stream())
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), target)
		return err == nil && bytes.Equal(msg.Data, body)
	})
}

func TestPlantedKeyIsNotTrusted(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	honest := m.Token(t, actortest.User())
	conn := m.Connect(t, "integration")
	membership, err := mesh.Join(t.Context(), conn, actortest.Telemetry(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := mesh.NewVerifier(t.Context(), membership, actortest.Issuer, actortest.Audience, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, m, kv.AuthKeys, "evil", subjects.SigningKey{KeyID: "evil", Public: public, Status: "current"})
	now := time.Now()
	forged, err := mesh.SignToken(mesh.Claims{
		Issuer: actortest.Issuer, Audience: actortest.Audience, Subject: actortest.User(), ClientID: "weft", ID: "j",
		SessionID: "s", IssuedAt: now.Unix(), ExpiresAt: now.Add(time.Minute).Unix(), Roles: []string{subjects.RoleAdmin},
	}, "evil", private)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if claims, err := verifier.Verify(t.Context(), forged); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("the forged token is verified as %+v, %v", claims, err)
		}
	}
	if _, err := verifier.Verify(t.Context(), honest); err != nil {
		t.Errorf("a token of auth: %v", err)
	}
}

func TestPlantedConsentIsIgnored(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	user := actortest.User()
	conn := m.Connect(t, "integration")
	membership, err := mesh.Join(t.Context(), conn, actortest.Telemetry(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := actors.NewGuard(t.Context(), conn, membership, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	scope := subjects.ScopeIntegrationsExecute
	plant(t, m, kv.ConsentState, kv.EncodeKey(user, scope), subjects.ConsentState{ConsentID: "c", Version: 9, Status: "active"})
	if grant, err := guard.Check(t.Context(), user, scope); subjects.CodeOf(err) != subjects.CodeConsentRequired {
		t.Errorf("the planted consent is granted as %+v, %v", grant, err)
	}
	// The owner's state replaces the planted one.
	states, err := kv.Open[subjects.ConsentState](t.Context(), m.Conn(t, "consent").JS, kv.ConsentState)
	if err != nil {
		t.Fatal(err)
	}
	_, err = states.Mutate(t.Context(), kv.EncodeKey(user, scope), func(_ subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
		if known {
			t.Error("the planted state is the old value")
		}
		return subjects.ConsentState{ConsentID: "d", Version: 1, Status: "active"}, true, nil
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Check(t.Context(), user, scope); err != nil {
		t.Errorf("a consent of the owner: %v", err)
	}
}
