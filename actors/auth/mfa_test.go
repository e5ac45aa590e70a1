package auth_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// codeAt returns an authenticator's code, computed by a library (RFC 6238).
func codeAt(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enableTOTP sets up an authenticator and returns its secret and the recovery codes.
func (b *harness) enableTOTP(token string) (secret string, recovery []string) {
	b.t.Helper()
	enrolled := mustCall(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: goodPassword}, token)
	if !strings.HasPrefix(enrolled.OTPAuthURL, "otpauth://totp/weft:") {
		b.t.Errorf("the URL is %s", enrolled.OTPAuthURL)
	}
	confirmed := mustCall(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	if len(confirmed.RecoveryCodes) != 10 {
		b.t.Fatalf("recovery codes: %v", confirmed.RecoveryCodes)
	}
	return enrolled.Secret, confirmed.RecoveryCodes
}

func verifyMFA(b *harness, token, code string) (subjects.Session, error) {
	return call(b, subjects.VerifyMFA, subjects.VerifyMFARequest{MFAToken: token, Code: code}, "")
}

func TestSecondFactorCodesAreSingleUse(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		other := b.signUp("ada@example.com")
		mine := b.login("ada@example.com")
		secret, recovery := b.enableTOTP(mine.AccessToken)
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: mine.RefreshToken}, "")

		b.clock.advance(time.Minute)
		pending := b.login("ada@example.com")
		if pending.MFAToken == "" || pending.AccessToken != "" || pending.RefreshToken != "" || pending.User.ID != "" {
			t.Fatalf("got %+v from a login without the second factor", pending)
		}
		code := codeAt(t, secret, b.Now())
		passed := 0
		for _, err := range concurrently(4, func(int) error { _, err := verifyMFA(b, pending.MFAToken, code); return err }) {
			if err == nil {
				passed++
			}
		}
		if passed != 1 {
			t.Errorf("a code was accepted %d times", passed)
		}
		spelling := strings.ToUpper(strings.ReplaceAll(recovery[3], "-", " "))
		session, err := verifyMFA(b, b.login("ada@example.com").MFAToken, spelling)
		if err != nil {
			t.Fatalf("a recovery code is refused: %v", err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		_, err = verifyMFA(b, b.login("ada@example.com").MFAToken, recovery[3])
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

func TestSecondFactorGuessesAreLimited(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	secret, _ := b.enableTOTP(session.AccessToken)
	b.clock.advance(time.Minute)
	pending := b.login("ada@example.com").MFAToken
	wrong := "000000"
	if codeAt(t, secret, b.Now()) == wrong {
		wrong = "000001"
	}
	tried := 0
	for _, err := range concurrently(30, func(int) error { _, err := verifyMFA(b, pending, wrong); return err }) {
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			tried++
		}
	}
	if tried != 5 {
		t.Errorf("%d of 30 guesses were compared, want 5", tried)
	}
	_, err := verifyMFA(b, pending, codeAt(t, secret, b.Now()))
	requireCode(t, err, subjects.CodeRateLimited)
	b.clock.advance(30 * time.Minute)
	_, err = verifyMFA(b, pending, codeAt(t, secret, b.Now()))
	requireCode(t, err, subjects.CodeUnauthenticated)
	if _, err = verifyMFA(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now())); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestDisableTOTPRequiresBothFactors(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	disable := func(password, code string) error {
		_, err := call(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Password: password, Code: code}, session.AccessToken)
		return err
	}
	requireCode(t, disable(goodPassword, "123456"), subjects.CodeNotFound)
	secret, recovery := b.enableTOTP(session.AccessToken)
	_, err := call(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: goodPassword}, session.AccessToken)
	requireCode(t, err, subjects.CodeConflict)
	b.clock.advance(time.Minute)
	requireCode(t, disable("not my password", codeAt(t, secret, b.Now())), subjects.CodeInvalid)
	requireCode(t, disable(goodPassword, "not-a-good-code"), subjects.CodeInvalid)
	if err := disable(goodPassword, recovery[0]); err != nil {
		t.Fatal(err)
	}
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	if again := b.login("ada@example.com"); again.MFAToken != "" || again.AccessToken == "" {
		t.Errorf("got %+v from a login after disabling the authenticator", again)
	}
}

func TestAccountChangesRequireTheSecondFactor(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		secret, recovery := b.enableTOTP(session.AccessToken)
		b.clock.advance(time.Minute)
		email := func(code string) error {
			_, err := call(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{
				Email: "lovelace@example.com", Password: goodPassword, Code: code,
			}, session.AccessToken)
			return err
		}
		password := func(next, code string) error {
			_, err := call(b, subjects.ChangePassword, subjects.ChangePasswordRequest{
				CurrentPassword: goodPassword, Password: next, Code: code,
			}, session.AccessToken)
			return err
		}
		for range 6 { // more than the limit of wrong codes: a missing code is no guess
			requireCode(t, email(""), subjects.CodeInvalid)
		}
		requireCode(t, password("another good one", ""), subjects.CodeInvalid)
		requireCode(t, email("not-a-good-code"), subjects.CodeInvalid)
		requireCode(t, password("another good one", "not-a-good-code"), subjects.CodeInvalid)
		code := codeAt(t, secret, b.Now())
		if err := email(code); err != nil {
			t.Fatal(err)
		}
		requireCode(t, password("another good one", code), subjects.CodeInvalid)
		requireCode(t, password("password1", recovery[0]), subjects.CodeInvalid) // refused by the policy
		if err := password("another good one", recovery[0]); err != nil {
			t.Fatal(err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	})
}

// toStep advances the clock to the start of a TOTP time step.
func (b *harness) toStep() {
	const step = 30 * time.Second
	now := b.Now()
	b.clock.advance(now.Truncate(step).Add(10 * step).Sub(now))
}

func TestTOTPSkew(t *testing.T) {
	t.Parallel()
	for skew, want := range map[int]map[time.Duration]bool{
		0: {0: true, -30 * time.Second: false, 30 * time.Second: false},
		1: {0: true, -30 * time.Second: true, -time.Minute: false, time.Minute: false},
	} {
		t.Run(strconv.Itoa(skew), func(t *testing.T) {
			b := onSQLite(t, func(c *auth.Config) { c.TOTPSkew = skew })
			session := b.signUp("ada@example.com")
			b.toStep()
			secret, _ := b.enableTOTP(session.AccessToken)
			for off, good := range want {
				pending := b.login("ada@example.com").MFAToken
				b.toStep()
				_, err := verifyMFA(b, pending, codeAt(t, secret, b.Now().Add(off)))
				if (err == nil) != good {
					t.Errorf("a code of %s from now: %v", off, err)
				}
			}
		})
	}
}
