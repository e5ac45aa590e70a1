package mesh_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// embeddedMesh runs a NATS server with weft's users and permissions, and returns a function that connects as one of them.
func embeddedMesh(ctx context.Context) (connect func(user string) (*mesh.Conn, error), shutdown func(), err error) {
	dir, err := os.MkdirTemp("", "mesh-example")
	if err != nil {
		return nil, nil, err
	}
	if _, err := embedded.Init(dir, embedded.Options{Port: -1}); err != nil {
		return nil, nil, err
	}
	server, err := embedded.Start(ctx, dir, zap.NewNop())
	if err != nil {
		return nil, nil, err
	}
	connect = func(user string) (*mesh.Conn, error) {
		seed, err := embedded.LoadSeed(dir, user)
		if err != nil {
			return nil, err
		}
		keyring, err := embedded.LoadKeyring(dir)
		if err != nil {
			return nil, err
		}
		return mesh.Connect(ctx, mesh.Options{URL: server.ClientURL(), InProcess: server, User: user, Seed: seed, Keyring: keyring})
	}
	return connect, func() {
		server.Shutdown()
		_ = os.RemoveAll(dir)
	}, nil
}

// One process answers an endpoint's subject as an actor's NATS user, another one calls it as the gateway.
func ExampleCall() {
	ctx := context.Background()
	connect, shutdown, err := embeddedMesh(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shutdown()
	auth, err := connect("auth")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	_, err = auth.Subscribe(subjects.Login.Subject, func(request *nats.Msg) {
		reply := nats.NewMsg(request.Reply)
		login, err := subjects.Login.Decode(request.Data)
		if err == nil && login.Password != "correct horse" {
			err = subjects.Errorf(subjects.CodeUnauthenticated, "wrong address or password")
		}
		if err != nil {
			reply.Header.Set(mesh.HeaderErrorCode, string(subjects.CodeOf(err)))
			reply.Data, _ = json.Marshal(subjects.ProblemOf(err, "", ""))
		} else {
			reply.Data, _ = json.Marshal(subjects.Session{SessionID: "s1", TokenType: "Bearer"})
		}
		_ = request.RespondMsg(reply)
	})
	if err == nil {
		err = auth.FlushWithContext(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	gateway, err := connect(mesh.UserGateway)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gateway.Close()
	session, err := mesh.Call(ctx, gateway, subjects.Login,
		subjects.LoginRequest{Email: "ada@example.com", Password: "correct horse"}, mesh.As{})
	fmt.Println(session.SessionID, err)
	_, err = mesh.Call(ctx, gateway, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "guess"}, mesh.As{})
	fmt.Println(err)
	_, err = mesh.Call(ctx, gateway, subjects.ListScopes, subjects.Empty{}, mesh.As{})
	fmt.Println(errors.Is(err, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonNoResponders}))
	// Output:
	// s1 <nil>
	// unauthenticated: wrong address or password
	// true
}

// A barrier returns when every member has handled it, so that a revocation is in effect everywhere when it is acknowledged.
func ExampleRaiseBarrier() {
	ctx := context.Background()
	connect, shutdown, err := embeddedMesh(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shutdown()
	setup, err := connect(mesh.UserMigrate)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer setup.Close()
	workflow, err := connect("workflow")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer workflow.Close()
	consent, err := connect("consent")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer consent.Close()
	if err := kv.CreateSpecs(ctx, setup.JS, 1, kv.Guards); err != nil {
		fmt.Println(err)
		return
	}
	member, err := mesh.Join(ctx, workflow, zap.NewNop())
	if err != nil {
		fmt.Println(err)
		return
	}
	member.Handle(mesh.BarrierConsent, func(_ context.Context, b mesh.Barrier) error {
		fmt.Println("workflow: refuse new actions under", b.Scope)
		return nil
	})
	err = mesh.RaiseBarrier(ctx, consent, mesh.Barrier{Kind: mesh.BarrierConsent, UserID: "u1", Scope: subjects.ScopeWorkflowsExecute})
	fmt.Println("consent: revoked", err)
	fmt.Println(member.Live(), member.Close(ctx))
	// Output:
	// workflow: refuse new actions under workflows.execute
	// consent: revoked <nil>
	// true <nil>
}

func ExampleParseToken() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	token, err := mesh.SignToken(mesh.Claims{
		Issuer: "https://weft.example", Audience: "weft", Subject: "u1", ClientID: "weft", ID: "t1", SessionID: "s1",
		IssuedAt: now.Unix(), ExpiresAt: now.Add(10 * time.Minute).Unix(),
	}, "k1", private)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := func(id string) (ed25519.PublicKey, bool) { return public, id == "k1" }
	claims, err := mesh.ParseToken(token, "https://weft.example", "weft", now, keys)
	fmt.Println(claims.Subject, claims.SessionID, err)
	_, err = mesh.ParseToken(token, "https://weft.example", "weft", now.Add(time.Hour), keys)
	fmt.Println(err)
	// Output:
	// u1 s1 <nil>
	// not an access token issued by weft
}

func ExampleClientNetwork() {
	for _, address := range []string{"203.0.113.7", "2001:db8:1:2:3::4", "::ffff:203.0.113.7"} {
		fmt.Println(mesh.ClientNetwork(netip.MustParseAddr(address)))
	}
	// Output:
	// 203.0.113.7/32
	// 2001:db8:1:2::/64
	// 203.0.113.7/32
}
