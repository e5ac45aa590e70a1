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

// browser is a client somewhere, as the gateway tells of it.
type browser struct{ ip, agent, token string }

// as calls an endpoint as the gateway does for a browser.
func as[Req, Res any](b *bench, w browser, e subjects.Endpoint[Req, Res], req Req) (res Res, err error) {
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

func TestTheRefreshGraceIsForTheSameDevice(t *testing.T) {
	home := browser{ip: "203.0.113.7", agent: "a browser"}
	for name, c := range map[string]struct {
		again  browser
		device bool
		good   bool
	}{
		"the same place":                    {home, false, true},
		"its network's other address":       {browser{ip: "203.0.113.8", agent: "a browser"}, false, false},
		"another agent":                     {browser{ip: "203.0.113.7", agent: "a thief"}, false, false},
		"elsewhere with the device's token": {browser{ip: "198.51.100.1", agent: "a browser"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := once(t)
			b.register("ada@example.com")
			session, err := as(b, home, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword})
			if err != nil {
				t.Fatal(err)
			}
			next, err := as(b, home, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken})
			if err != nil {
				t.Fatal(err)
			}
			req := subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}
			if c.device {
				req.DeviceToken = session.DeviceToken
			}
			again, err := as(b, c.again, subjects.RefreshToken, req)
			if c.good {
				if err != nil || again.RefreshToken != next.RefreshToken {
					t.Fatalf("the device's own repetition gives %q, %v", again.RefreshToken, err)
				}
				must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: next.RefreshToken}, "")
				return
			}
			refused(t, err, subjects.CodeUnauthenticated)
			_, err = as(b, home, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: next.RefreshToken})
			refused(t, err, subjects.CodeUnauthenticated)
			b.audited(t, session.User.ID, "token_reuse")
		})
	}
}

func TestAnothersDeviceTokenIsNoGrace(t *testing.T) {
	b := once(t)
	ada, eve := b.signedUp("ada@example.com"), b.signedUp("eve@example.com")
	must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
	_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{
		RefreshToken: ada.RefreshToken, DeviceToken: eve.DeviceToken,
	}, "")
	refused(t, err, subjects.CodeUnauthenticated)
}

func TestAKnownDeviceGivesItsCodeWhileAThiefOfThePasswordIsLockedOut(t *testing.T) {
	b := once(t)
	session := b.signedUp("ada@example.com")
	secret, _ := b.withTOTP(session.AccessToken)
	b.clock.forward(time.Minute)
	pending := b.login("ada@example.com")
	for range 5 {
		_, err := second(b, pending.MFAToken, "000000")
		refused(t, err, subjects.CodeUnauthenticated)
	}
	_, err := second(b, pending.MFAToken, codeAt(t, secret, b.Now()))
	refused(t, err, subjects.CodeRateLimited)
	known := must(b, subjects.VerifyMFA, subjects.VerifyMFARequest{
		MFAToken: pending.MFAToken, Code: codeAt(t, secret, b.Now()), DeviceToken: session.DeviceToken,
	}, "")
	if known.AccessToken == "" || known.DeviceToken == "" {
		t.Errorf("the known device gets %+v", known)
	}
	for i := range 6 {
		_, err = call(b, subjects.VerifyMFA, subjects.VerifyMFARequest{
			MFAToken: pending.MFAToken, Code: "000000", DeviceToken: session.DeviceToken,
		}, "")
		if want := subjects.CodeRateLimited; i == 5 {
			refused(t, err, want)
		} else {
			refused(t, err, subjects.CodeUnauthenticated)
		}
	}
}

// TestAStolenSessionGetsNoMoreCodesFromElsewhere: wrong codes of a session count wherever they come from, and leave the
// owner's other session alone.
func TestAStolenSessionGetsNoMoreCodesFromElsewhere(t *testing.T) {
	b := once(t)
	stolen := b.signedUp("ada@example.com")
	secret, _ := b.withTOTP(stolen.AccessToken)
	b.clock.forward(time.Minute)
	own, err := second(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now()))
	if err != nil {
		t.Fatal(err)
	}
	b.clock.forward(time.Minute)
	guess := func(i int, token, code string) error {
		_, err := as(b, browser{fmt.Sprintf("198.51.100.%d", i), "a browser", token}, subjects.DisableTOTP, subjects.DisableTOTPRequest{
			Password: goodPassword, Code: code,
		})
		return err
	}
	for i := range 5 {
		refused(t, guess(i, stolen.AccessToken, "000000"), subjects.CodeInvalid)
	}
	refused(t, guess(5, stolen.AccessToken, codeAt(t, secret, b.Now())), subjects.CodeRateLimited)
	if err := guess(6, own.AccessToken, codeAt(t, secret, b.Now())); err != nil {
		t.Errorf("the owner's own session: %v", err)
	}
}

func TestStepUpsAreCountedBySourceAndForTheAccount(t *testing.T) {
	b := once(t)
	b.config.AccountFailures = 12
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.actor = b.start()
	ada := b.signedUp("ada@example.com")
	guess := func(ip, password string) error {
		_, err := as(b, browser{ip, "a browser", ada.AccessToken}, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: password})
		return err
	}
	for range 5 {
		refused(t, guess("203.0.113.7", "wrong wrong"), subjects.CodeInvalid)
	}
	refused(t, guess("203.0.113.7", goodPassword), subjects.CodeRateLimited)
	if err := guess("198.51.100.1", goodPassword); err != nil {
		t.Errorf("the owner's own source: %v", err)
	}
	if err := b.from("203.0.113.7", "ada@example.com", goodPassword); err != nil {
		t.Errorf("signing in is counted apart: %v", err)
	}
	var last error
	for i := range 8 {
		last = guess(fmt.Sprintf("198.51.100.%d", i+10), "wrong wrong")
	}
	refused(t, last, subjects.CodeRateLimited)
}
