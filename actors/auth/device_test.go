package auth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// browser is a client as the gateway describes it.
type browser struct{ ip, agent, token string }

// callAs calls an endpoint as the gateway does for a browser.
func callAs[Req, Res any](b *harness, w browser, e subjects.Endpoint[Req, Res], req Req) (res Res, err error) {
	b.t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	header := nats.Header{mesh.HeaderClientIP: {w.ip}, mesh.HeaderUserAgent: {w.agent}}
	if w.token != "" {
		header.Set("Authorization", "Bearer "+w.token)
	}
	reply, err := b.gateway.Forward(ctx, e.Subject, header, body)
	if err == nil {
		err = json.Unmarshal(reply.Data, &res)
	}
	return res, err
}

func TestRefreshGraceRequiresTheSameClient(t *testing.T) {
	home := browser{ip: "203.0.113.7", agent: "a browser"}
	for name, c := range map[string]struct {
		again  browser
		device bool
		good   bool
	}{
		"the same origin":                       {home, false, true},
		"another address":                       {browser{ip: "203.0.113.8", agent: "a browser"}, false, false},
		"another agent":                         {browser{ip: "203.0.113.7", agent: "a thief"}, false, false},
		"another network with the device token": {browser{ip: "198.51.100.1", agent: "a browser"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := onSQLite(t)
			b.register("ada@example.com")
			session, err := callAs(b, home, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword})
			if err != nil {
				t.Fatal(err)
			}
			next, err := callAs(b, home, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken})
			if err != nil {
				t.Fatal(err)
			}
			req := subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}
			if c.device {
				req.DeviceToken = session.DeviceToken
			}
			again, err := callAs(b, c.again, subjects.RefreshToken, req)
			if c.good {
				if err != nil || again.RefreshToken != next.RefreshToken {
					t.Fatalf("the client's repeated call returns %q, %v", again.RefreshToken, err)
				}
				mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: next.RefreshToken}, "")
				return
			}
			requireCode(t, err, subjects.CodeUnauthenticated)
			_, err = callAs(b, home, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: next.RefreshToken})
			requireCode(t, err, subjects.CodeUnauthenticated)
			b.waitForAudit(t, session.User.ID, "token_reuse")
		})
	}
}

func TestRefreshGraceRefusesAnotherUsersDeviceToken(t *testing.T) {
	b := onSQLite(t)
	ada, eve := b.signUp("ada@example.com"), b.signUp("eve@example.com")
	mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
	_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{
		RefreshToken: ada.RefreshToken, DeviceToken: eve.DeviceToken,
	}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestKnownDeviceCodeLimitIsSeparate(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	secret, _ := b.enableTOTP(session.AccessToken)
	b.clock.advance(time.Minute)
	pending := b.login("ada@example.com")
	for range 5 {
		_, err := verifyMFA(b, pending.MFAToken, "000000")
		requireCode(t, err, subjects.CodeUnauthenticated)
	}
	_, err := verifyMFA(b, pending.MFAToken, codeAt(t, secret, b.Now()))
	requireCode(t, err, subjects.CodeRateLimited)
	known := mustCall(b, subjects.VerifyMFA, subjects.VerifyMFARequest{
		MFAToken: pending.MFAToken, Code: codeAt(t, secret, b.Now()), DeviceToken: session.DeviceToken,
	}, "")
	if known.AccessToken == "" || known.DeviceToken == "" {
		t.Errorf("the known device's session is %+v", known)
	}
	for i := range 6 {
		_, err = call(b, subjects.VerifyMFA, subjects.VerifyMFARequest{
			MFAToken: pending.MFAToken, Code: "000000", DeviceToken: session.DeviceToken,
		}, "")
		if want := subjects.CodeRateLimited; i == 5 {
			requireCode(t, err, want)
		} else {
			requireCode(t, err, subjects.CodeUnauthenticated)
		}
	}
}

// TestCodeLimitIsPerSession: wrong codes of a stolen session count from every network, and do not lock the owner's
// other session.
func TestCodeLimitIsPerSession(t *testing.T) {
	b := onSQLite(t)
	stolen := b.signUp("ada@example.com")
	secret, _ := b.enableTOTP(stolen.AccessToken)
	b.clock.advance(time.Minute)
	own, err := verifyMFA(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now()))
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute)
	guess := func(i int, token, code string) error {
		_, err := callAs(b, browser{fmt.Sprintf("198.51.100.%d", i), "a browser", token}, subjects.DisableTOTP, subjects.DisableTOTPRequest{
			Password: goodPassword, Code: code,
		})
		return err
	}
	for i := range 5 {
		requireCode(t, guess(i, stolen.AccessToken, "000000"), subjects.CodeInvalid)
	}
	requireCode(t, guess(5, stolen.AccessToken, codeAt(t, secret, b.Now())), subjects.CodeRateLimited)
	if err := guess(6, own.AccessToken, codeAt(t, secret, b.Now())); err != nil {
		t.Errorf("the owner's own session: %v", err)
	}
}

func TestStepUpLimits(t *testing.T) {
	b := onSQLite(t)
	b.config.AccountFailures = 12
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.actor = b.start()
	ada := b.signUp("ada@example.com")
	guess := func(ip, password string) error {
		_, err := callAs(b, browser{ip, "a browser", ada.AccessToken}, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: password})
		return err
	}
	for range 5 {
		requireCode(t, guess("203.0.113.7", "wrong wrong"), subjects.CodeInvalid)
	}
	requireCode(t, guess("203.0.113.7", goodPassword), subjects.CodeRateLimited)
	if err := guess("198.51.100.1", goodPassword); err != nil {
		t.Errorf("the owner's own source: %v", err)
	}
	if err := b.loginFrom("203.0.113.7", "ada@example.com", goodPassword); err != nil {
		t.Errorf("sign-ins do not count separately: %v", err)
	}
	var last error
	for i := range 8 {
		last = guess(fmt.Sprintf("198.51.100.%d", i+10), "wrong wrong")
	}
	requireCode(t, last, subjects.CodeRateLimited)
}
