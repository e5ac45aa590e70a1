package auth

import (
	"time"

	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Config holds auth's settings. Every duration may be as short as a second, for tests.
type Config struct {
	// AccessTTL is the lifetime of access tokens, and so the minimum time for which revocations are kept.
	AccessTTL time.Duration `koanf:"access_ttl"`
	// SessionTTL is the lifetime of a session from sign-in, however often it is refreshed.
	SessionTTL time.Duration `koanf:"session_ttl"`
	// SessionIdle is the time after which a session ends without a refresh; 0 means SessionTTL.
	SessionIdle time.Duration `koanf:"session_idle"`
	// RefreshGrace is the time for which a used refresh token, presented again by the same client, returns its
	// successor instead of ending the session.
	RefreshGrace time.Duration `koanf:"refresh_grace"`
	// SessionsPerUser bounds a user's sessions; one more ends the oldest.
	SessionsPerUser int `koanf:"sessions_per_user"`
	// APIKeysPerUser bounds a user's API keys, PasskeysPerUser a user's passkeys.
	APIKeysPerUser  int `koanf:"api_keys_per_user"`
	PasskeysPerUser int `koanf:"passkeys_per_user"`
	// ClientID is the client_id claim of the access tokens of sessions.
	ClientID string `koanf:"client_id"`

	// LockoutFailures is the number of failed sign-ins to one account from one source after which that source is
	// refused for LockoutFor.
	LockoutFailures int           `koanf:"lockout_failures"`
	LockoutFor      time.Duration `koanf:"lockout_for"`
	// AccountFailures is the number of failed sign-ins to one account from all sources after which every source is
	// refused for LockoutFor, except devices that have signed in to the account before.
	AccountFailures int `koanf:"account_failures"`

	// BcryptCost is the cost of new hashes. Hashes of another cost are replaced at the next sign-in.
	BcryptCost int `koanf:"bcrypt_cost"`
	// HashWorkers is the number of hashes computed concurrently; 0 means one per processor. HashQueue is the number of
	// calls that may wait per worker; further calls get CodeRateLimited.
	HashWorkers int `koanf:"hash_workers"`
	HashQueue   int `koanf:"hash_queue"`
	// Pepper keys the HMAC below every password hash. If it is empty, a random pepper is created at the first start and
	// stored sealed in the database. PreviousPepper verifies hashes made before Pepper was changed.
	Pepper         mesh.Secret `koanf:"pepper"`
	PreviousPepper mesh.Secret `koanf:"previous_pepper"`

	// PasswordMin and PasswordMax bound the length of passwords, in characters.
	PasswordMin int `koanf:"password_min"`
	PasswordMax int `koanf:"password_max"`
	// PasswordBlocklist is a file of further passwords to refuse, one per line.
	PasswordBlocklist string `koanf:"password_blocklist"`

	// RequireSecondFactor says which accounts need a second factor: off, admins, or all. A user who has none can sign
	// in only to set one up. An admin can set another rule for an account.
	RequireSecondFactor string `koanf:"require_second_factor"`
	// TOTPSkew is the number of 30-second steps by which an authenticator's clock may differ. With 0, a code is valid
	// for 30 seconds (OWASP ASVS 5.0, 6.5.5).
	TOTPSkew int `koanf:"totp_skew"`

	// RequireVerifiedEmail allows sign-ins only to accounts with a verified address. Then neither registration nor
	// sign-in reveals whether an address has an account. Without it, a successful sign-in after a registration reveals
	// that the address was free.
	RequireVerifiedEmail bool `koanf:"require_verified_email"`
	// TokenTTL is the lifetime of the tokens in e-mail messages.
	TokenTTL time.Duration `koanf:"token_ttl"`
	// MailsPerHour bounds the messages of one purpose to one address per hour.
	MailsPerHour int `koanf:"mails_per_hour"`
	// VerifyURL and ResetURL are pages that receive the tokens of messages as ?token=…. If empty, the messages name the
	// endpoints instead.
	VerifyURL string `koanf:"verify_url"`
	ResetURL  string `koanf:"reset_url"`

	// KeyRotation is the age at which the signing key is rotated; 0 means only by command.
	KeyRotation time.Duration `koanf:"key_rotation"`
	// KeyReload is the interval at which a process reads the signing keys, to follow rotations by others.
	KeyReload time.Duration `koanf:"key_reload"`

	// AuditKept is how long users can list their security events. The stream AUDIT keeps all of them.
	AuditKept time.Duration `koanf:"audit_kept"`
	// AuditEventsPerUser is how many of them a user can list, the newest.
	AuditEventsPerUser int `koanf:"audit_events_per_user"`

	// ErasureSettle is the time after a deletion at which every actor deletes the user's data again: as long as calls
	// that began before the deletion may still write. ErasureRetry is the time after which an actor that has not
	// answered is asked again.
	ErasureSettle time.Duration `koanf:"erasure_settle"`
	ErasureRetry  time.Duration `koanf:"erasure_retry"`

	// OAuth configures the providers with which users can sign in.
	OAuth OAuthConfig `koanf:"oauth"`
	// Passkeys configures the site for which passkeys are created.
	Passkeys PasskeyConfig `koanf:"passkeys"`
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	return Config{
		AccessTTL: 15 * time.Minute, SessionTTL: 7 * 24 * time.Hour, SessionIdle: 3 * 24 * time.Hour,
		RefreshGrace: 10 * time.Second, SessionsPerUser: 100, APIKeysPerUser: 50, PasskeysPerUser: maxPasskeys, ClientID: "weft",
		LockoutFailures: 5, LockoutFor: 30 * time.Minute, AccountFailures: 50,
		BcryptCost: 12, HashQueue: 16,
		PasswordMin: 8, PasswordMax: 256, RequireSecondFactor: requireOff, TOTPSkew: 1,
		TokenTTL: 30 * time.Minute, MailsPerHour: 5,
		KeyRotation: 30 * 24 * time.Hour, KeyReload: time.Minute, AuditKept: 90 * 24 * time.Hour, AuditEventsPerUser: 10_000,
		ErasureSettle: subjects.MaxTimeout, ErasureRetry: 10 * time.Minute,
		OAuth: defaultOAuthConfig(), Passkeys: defaultPasskeyConfig(),
	}
}

func (c Config) hashWorkers() int {
	if c.HashWorkers > 0 {
		return c.HashWorkers
	}
	return password.Processors
}

// requiresVerification reports whether the account's address must be verified before it can sign in.
func (c Config) requiresVerification(u user) bool { return c.RequireVerifiedEmail && !u.EmailVerified }
