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

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/weftmesh/weft/actors/seal"
)

const (
	// totpPeriod is the length of a step, in seconds (RFC 6238 §4).
	totpPeriod = 30
	// totpIssuer names weft in authenticators.
	totpIssuer = "weft"
	// recoveryCodes is how many there are; each has recoveryBytes random bytes, past the 112 bits from which a plain hash
	// keeps them (OWASP ASVS 5.0, 6.5.2).
	recoveryCodes = 10
	recoveryBytes = 15
	// mfaTTL is how long a login waits for its second factor.
	mfaTTL = 5 * time.Minute
)

// Methods of a sign-in.
const (
	byPassword     = "password"
	byPasswordTOTP = "password_totp"
)

// newTOTP makes an authenticator's secret and the URL of its QR code.
func newTOTP(email string) (secret, url string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: totpIssuer, AccountName: email, Period: totpPeriod, SecretSize: 20})
	if err != nil {
		return "", "", fmt.Errorf("making a TOTP secret: %w", err)
	}
	return key.Secret(), key.URL(), nil
}

// totpStep finds the step, later than last, that a code is good for. So many steps before and after this one are taken:
// clocks differ (RFC 6238 §5.2).
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

// newRecoveryCodes makes codes to be kept on paper.
func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		raw := make([]byte, recoveryBytes)
		_, _ = rand.Read(raw) // never fails, says crypto/rand
		text := strings.ToLower(base32.StdEncoding.EncodeToString(raw))
		groups := make([]string, 0, len(text)/4)
		for group := range slices.Chunk([]byte(text), 4) {
			groups = append(groups, string(group))
		}
		codes[i] = strings.Join(groups, "-")
	}
	return codes
}

// hashRecoveryCode is what is stored of a code; how it is spaced and cased does not matter.
func hashRecoveryCode(userID, code string) string {
	plain := strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(code))
	return hashToken(userID + "/" + plain)
}

// pendingLogin is what an mfa_token holds, sealed: a login whose password was right.
type pendingLogin struct {
	UserID    string    `json:"user_id"`
	Epoch     int64     `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	// Replaces is the session that the client had as it began.
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

// openPending reads an mfa_token; false for what is none, or none any more.
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
