package auth

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/seal"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

const (
	// totpPeriod is the length of a time step in seconds (RFC 6238 §4).
	totpPeriod = 30
	// totpIssuer is the issuer shown by authenticators.
	totpIssuer = "weft"
	// recoveryCodes is the number of recovery codes. Each has recoveryBytes random bytes, more than the 112 bits above
	// which an unsalted hash is sufficient (OWASP ASVS 5.0, 6.5.2).
	recoveryCodes = 10
	recoveryBytes = 15
	// pendingLoginTTL is how long a sign-in waits for its second factor.
	pendingLoginTTL = 5 * time.Minute
)

// Methods of a sign-in.
const (
	byPassword     = "password"
	byPasswordTOTP = "password_totp"
)

// newTOTP returns the secret of a new authenticator and the URL of its QR code.
func newTOTP(email string) (secret, url string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: totpIssuer, AccountName: email, Period: totpPeriod, SecretSize: 20})
	if err != nil {
		return "", "", fmt.Errorf("creating a TOTP secret: %w", err)
	}
	return key.Secret(), key.URL(), nil
}

// totpStep returns the time step of a code, which must be later than last. skew is the number of steps before and after
// the current one that are accepted, because clocks differ (RFC 6238 §5.2).
func totpStep(secret, code string, now time.Time, skew int, last int64) (int64, bool) {
	step := now.Unix() / totpPeriod
	for at := step - int64(skew); at <= step+int64(skew); at++ {
		ok, err := hotp.ValidateCustom(code, uint64(max(0, at)), secret, hotp.ValidateOpts{Digits: otp.DigitsSix})
		if err == nil && ok && at > last {
			return at, true
		}
	}
	return 0, false
}

// newRecoveryCodes returns new recovery codes.
func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		raw := make([]byte, recoveryBytes)
		_, _ = rand.Read(raw) // never returns an error (crypto/rand)
		text := strings.ToLower(base32.StdEncoding.EncodeToString(raw))
		groups := make([]string, 0, len(text)/4)
		for group := range slices.Chunk([]byte(text), 4) {
			groups = append(groups, string(group))
		}
		codes[i] = strings.Join(groups, "-")
	}
	return codes
}

// hashRecoveryCode returns the stored hash of a code. Spaces, dashes and case do not matter.
func hashRecoveryCode(userID, code string) string {
	plain := strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(code))
	return hashToken(userID + "/" + plain)
}

// pendingLogin is the sealed content of an mfa_token: a sign-in whose password was correct.
type pendingLogin struct {
	UserID    string    `json:"user_id"`
	Epoch     int64     `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	// Replaces is the session that the client had when the sign-in began.
	Replaces sessionRef `json:"replaces,omitzero"`
}

var pendingContext = []byte("mfa_token")

func sealPending(s *seal.Sealer, p pendingLogin) (string, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encoding a pending login: %w", err)
	}
	sealed, err := s.Seal(plain, pendingContext)
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// openPending opens an mfa_token. It returns false if the token is invalid or expired.
func openPending(s *seal.Sealer, token string, now time.Time) (pendingLogin, bool) {
	var p pendingLogin
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return p, false
	}
	plain, err := s.Open(sealed, pendingContext)
	if err != nil || json.Unmarshal(plain, &p) != nil {
		return p, false
	}
	return p, now.Before(p.ExpiresAt)
}
