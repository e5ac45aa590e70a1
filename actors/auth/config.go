package auth

import (
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Config holds auth's knobs. Testers may set every clock to seconds.
type Config struct {
	// AccessTTL is how long an access token lives, and so how long the id of an ended session is kept.
	AccessTTL time.Duration `koanf:"access_ttl"`
	// SessionTTL is a session's life from sign-in, however often it is refreshed.
	SessionTTL time.Duration `koanf:"session_ttl"`
	// SessionIdle is how long a session lives without being refreshed; 0: as long as SessionTTL.
	SessionIdle time.Duration `koanf:"session_idle"`
	// RefreshGrace is how long an exchanged refresh token answers with its successor instead of ending the session.
	RefreshGrace time.Duration `koanf:"refresh_grace"`
	// SessionsPerUser bounds a user's sessions; one more ends the oldest.
	SessionsPerUser int `koanf:"sessions_per_user"`
	// ClientID is the client_id claim of tokens that a person signed in for.
	ClientID string `koanf:"client_id"`

	// LockoutFailures failed logins for one address from one source refuse further ones for LockoutFor.
	LockoutFailures int           `koanf:"lockout_failures"`
	LockoutFor      time.Duration `koanf:"lockout_for"`
	// AccountFailures failed logins for one address from anywhere refuse further ones for LockoutFor, but for devices
	// that have signed in to the account before.
	AccountFailures int `koanf:"account_failures"`

	// BcryptCost is the cost of new hashes; older ones are brought to it at login.
	BcryptCost int `koanf:"bcrypt_cost"`
	// HashWorkers is how many hashes are computed at once; 0: one a processor. HashQueue is how many may wait
	// for each of them; more are rate_limited.
	HashWorkers int `koanf:"hash_workers"`
	HashQueue   int `koanf:"hash_queue"`
	// Pepper keys the HMAC below every hash. Empty: a random one, made at the first start and kept sealed in
	// the database. PreviousPepper verifies hashes made before Pepper was changed.
	Pepper         mesh.Secret `koanf:"pepper"`
	PreviousPepper mesh.Secret `koanf:"previous_pepper"`

	// PasswordMin and PasswordMax bound a password's length in characters.
	PasswordMin int `koanf:"password_min"`
	PasswordMax int `koanf:"password_max"`
	// PasswordBlocklist is a file of further refused passwords, one a line.
	PasswordBlocklist string `koanf:"password_blocklist"`

	// RequireSecondFactor says who needs one: off, admins, or all. Who has none can sign in to set one up, and to nothing
	// else. An admin can say otherwise of an account.
	RequireSecondFactor string `koanf:"require_second_factor"`
	// TOTPSkew is how many steps of 30 seconds an authenticator's clock may be early or late; 0: none, so that a code is
	// good for 30 seconds (OWASP ASVS 5.0, 6.5.5).
	TOTPSkew int `koanf:"totp_skew"`

	// RequireVerifiedEmail lets only verified addresses sign in; then signing up and in tells nobody who has an
	// account. Without it, who can sign in after signing up knows that the address was free.
	RequireVerifiedEmail bool `koanf:"require_verified_email"`
	// TokenTTL is how long the tokens in mails are good.
	TokenTTL time.Duration `koanf:"token_ttl"`
	// LettersPerHour bounds the mails of one kind to one address.
	LettersPerHour int `koanf:"letters_per_hour"`
	// VerifyURL and ResetURL are pages that take the mails' tokens, as ?token=…; empty: the mails name the calls.
	VerifyURL string `koanf:"verify_url"`
	ResetURL  string `koanf:"reset_url"`

	// KeyRotation is the age at which the signing key makes room for the next; 0: by command alone.
	KeyRotation time.Duration `koanf:"key_rotation"`
	// KeyReload is how often a process looks whether another has rotated the keys.
	KeyReload time.Duration `koanf:"key_reload"`

	// AuditKept is how long users see their security events; the stream AUDIT keeps all of them.
	AuditKept time.Duration `koanf:"audit_kept"`

	// ErasureSettle is how long after a deletion every actor looks once more for what belonged to the account: as long as
	// what had begun before it may still write. ErasureRetry is how long an actor may take to answer before it is told again.
	ErasureSettle time.Duration `koanf:"erasure_settle"`
	ErasureRetry  time.Duration `koanf:"erasure_retry"`

	// OAuth says with which providers users can sign in.
	OAuth OAuthConfig `koanf:"oauth"`
	// Passkeys says for which site passkeys are made.
	Passkeys PasskeyConfig `koanf:"passkeys"`
}

// DefaultConfig works as it is.
func DefaultConfig() Config {
	return Config{
		AccessTTL: 15 * time.Minute, SessionTTL: 7 * 24 * time.Hour, SessionIdle: 3 * 24 * time.Hour,
		RefreshGrace: 10 * time.Second, SessionsPerUser: 100, ClientID: "weft",
		LockoutFailures: 5, LockoutFor: 30 * time.Minute, AccountFailures: 50,
		BcryptCost: 12, HashQueue: 16,
		PasswordMin: 8, PasswordMax: 256, RequireSecondFactor: requireOff, TOTPSkew: 1,
		TokenTTL: 30 * time.Minute, LettersPerHour: 5,
		KeyRotation: 30 * 24 * time.Hour, KeyReload: time.Minute, AuditKept: 90 * 24 * time.Hour,
		ErasureSettle: subjects.MaxTimeout, ErasureRetry: 10 * time.Minute,
		OAuth: defaultOAuthConfig(), Passkeys: defaultPasskeyConfig(),
	}
}

func (c Config) hashWorkers() int {
	if c.HashWorkers > 0 {
		return c.HashWorkers
	}
	return processors
}
