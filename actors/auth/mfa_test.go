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

// codeAt is what an authenticator shows, by a library's reading of RFC 6238.
func codeAt(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// withTOTP turns a second factor on and returns the authenticator's secret and the recovery codes.
func (b *bench) withTOTP(token string) (secret string, recovery []string) {
	b.t.Helper()
	enrolled := must(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: goodPassword}, token)
	if !strings.HasPrefix(enrolled.OTPAuthURL, "otpauth://totp/weft:") {
		b.t.Errorf("the URL is %s", enrolled.OTPAuthURL)
	}
	confirmed := must(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	if len(confirmed.RecoveryCodes) != 10 {
		b.t.Fatalf("recovery codes: %v", confirmed.RecoveryCodes)
	}
	return enrolled.Secret, confirmed.RecoveryCodes
}

func second(b *bench, token, code string) (subjects.Session, error) {
	return call(b, subjects.VerifyMFA, subjects.VerifyMFARequest{MFAToken: token, Code: code}, "")
}

func TestASecondFactorIsAskedForAndGoodOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		other := b.signedUp("ada@example.com")
		mine := b.login("ada@example.com")
		secret, recovery := b.withTOTP(mine.AccessToken)
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)
		refused(t, err, subjects.CodeUnauthenticated)
		must(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: mine.RefreshToken}, "")

		b.clock.forward(time.Minute)
		pending := b.login("ada@example.com")
		if pending.MFAToken == "" || pending.AccessToken != "" || pending.RefreshToken != "" || pending.User.ID != "" {
			t.Fatalf("a login without the second factor answers %+v", pending)
		}
		code := codeAt(t, secret, b.Now())
		passed := 0
		for _, err := range together(4, func(int) error { _, err := second(b, pending.MFAToken, code); return err }) {
			if err == nil {
				passed++
			}
		}
		if passed != 1 {
			t.Errorf("a code was good %d times", passed)
		}
		spelling := strings.ToUpper(strings.ReplaceAll(recovery[3], "-", " "))
		session, err := second(b, b.login("ada@example.com").MFAToken, spelling)
		if err != nil {
			t.Fatalf("a recovery code is refused: %v", err)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		_, err = second(b, b.login("ada@example.com").MFAToken, recovery[3])
		refused(t, err, subjects.CodeUnauthenticated)
	})
}

func TestGuessingASecondFactorIsLimited(t *testing.T) {
	b := once(t)
	session := b.signedUp("ada@example.com")
	secret, _ := b.withTOTP(session.AccessToken)
	b.clock.forward(time.Minute)
	pending := b.login("ada@example.com").MFAToken
	wrong := "000000"
	if codeAt(t, secret, b.Now()) == wrong {
		wrong = "000001"
	}
	tried := 0
	for _, err := range together(30, func(int) error { _, err := second(b, pending, wrong); return err }) {
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			tried++
		}
	}
	if tried != 5 {
		t.Errorf("%d of 30 guesses were tried, want 5", tried)
	}
	_, err := second(b, pending, codeAt(t, secret, b.Now()))
	refused(t, err, subjects.CodeRateLimited)
	b.clock.forward(30 * time.Minute)
	_, err = second(b, pending, codeAt(t, secret, b.Now()))
	refused(t, err, subjects.CodeUnauthenticated)
	if _, err = second(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now())); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestDisablingASecondFactorNeedsBoth(t *testing.T) {
	b := once(t)
	session := b.signedUp("ada@example.com")
	disable := func(password, code string) error {
		_, err := call(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Password: password, Code: code}, session.AccessToken)
		return err
	}
	refused(t, disable(goodPassword, "123456"), subjects.CodeNotFound)
	secret, recovery := b.withTOTP(session.AccessToken)
	_, err := call(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: goodPassword}, session.AccessToken)
	refused(t, err, subjects.CodeConflict)
	b.clock.forward(time.Minute)
	refused(t, disable("not my password", codeAt(t, secret, b.Now())), subjects.CodeInvalid)
	refused(t, disable(goodPassword, "not-a-good-code"), subjects.CodeInvalid)
	if err := disable(goodPassword, recovery[0]); err != nil {
		t.Fatal(err)
	}
	must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	if again := b.login("ada@example.com"); again.MFAToken != "" || again.AccessToken == "" {
		t.Errorf("after turning it off a login answers %+v", again)
	}
}

func TestChangesOfTheAccountAskForTheSecondFactor(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		session := b.signedUp("ada@example.com")
		secret, recovery := b.withTOTP(session.AccessToken)
		b.clock.forward(time.Minute)
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
		for range 6 { // more than wrong ones are allowed: what is missing is no guess
			refused(t, email(""), subjects.CodeInvalid)
		}
		refused(t, password("another good one", ""), subjects.CodeInvalid)
		refused(t, email("not-a-good-code"), subjects.CodeInvalid)
		refused(t, password("another good one", "not-a-good-code"), subjects.CodeInvalid)
		code := codeAt(t, secret, b.Now())
		if err := email(code); err != nil {
			t.Fatal(err)
		}
		refused(t, password("another good one", code), subjects.CodeInvalid)
		refused(t, password("password1", recovery[0]), subjects.CodeInvalid) // the policy's refusal
		if err := password("another good one", recovery[0]); err != nil {
			t.Fatal(err)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	})
}

// toStep sets the clock to the beginning of a TOTP step, a few steps on.
func (b *bench) toStep() {
	const step = 30 * time.Second
	now := b.Now()
	b.clock.forward(now.Truncate(step).Add(10 * step).Sub(now))
}

func TestATOTPCodeIsGoodForItsStep(t *testing.T) {
	t.Parallel()
	for skew, want := range map[int]map[time.Duration]bool{
		0: {0: true, -30 * time.Second: false, 30 * time.Second: false},
		1: {0: true, -30 * time.Second: true, -time.Minute: false, time.Minute: false},
	} {
		t.Run(strconv.Itoa(skew), func(t *testing.T) {
			b := once(t, func(c *auth.Config) { c.TOTPSkew = skew })
			session := b.signedUp("ada@example.com")
			b.toStep()
			secret, _ := b.withTOTP(session.AccessToken)
			for off, good := range want {
				pending := b.login("ada@example.com").MFAToken
				b.toStep()
				_, err := second(b, pending, codeAt(t, secret, b.Now().Add(off)))
				if (err == nil) != good {
					t.Errorf("a code of %s from now: %v", off, err)
				}
			}
		})
	}
}
