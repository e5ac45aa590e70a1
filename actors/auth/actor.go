// Package auth is the identity service: accounts, passwords, sessions and the keys that access tokens are
// signed with.
//
// It owns
//   - the subjects weft.v1.auth.…, and the events weft.event.v1.auth.…;
//   - the tables users, letters, api_keys, totp, recovery_codes, identities, passkeys, audit_events,
//     erasures, erasure_answers, signing_keys and secrets;
//   - the stream JOBS_AUTH, of mails to hand to the notification actor;
//   - the buckets auth_sessions, auth_keys, auth_revoked, auth_attempts, auth_oauth_state and
//     auth_ceremonies.
//
// What takes a right away is in KV, and known to every process, before it is acknowledged; what gives one is
// recorded in SQL first. No secret is stored in clear: passwords are hashed over a keyed digest, refresh tokens
// are hashed, private keys are sealed.
package auth

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are auth's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// startWithin bounds what New reads and writes.
const startWithin = 30 * time.Second

// Actor serves weft.v1.auth.
type Actor struct {
	actors.Deps

	config     Config
	policy     *policy
	passwords  *passwords
	attempts   *gate
	keys       *keyring
	refreshKey []byte
	deviceKey  []byte
	strangers  *gate // counts an account's failures as a whole, but for known devices
	sessions   *kv.Bucket[session]
	revoked    *kv.Bucket[subjects.RevokedSession]
	live       *kv.Map[sessionMark]
	swept      chan struct{} // asks for a sweep of sessions that ended with everybody's
	oauth      *oauth
	passkeys   *passkeys
	profiles   *database.RowCache[user]
	metrics    *metrics
}

// cachedProfiles is how many profiles are kept in memory.
const cachedProfiles = 10_000

// New makes the actor. It reads its keys, or makes them at the first start, and publishes the public ones.
func New(deps actors.Deps, config Config) (*Actor, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	a := &Actor{Deps: deps, config: config, profiles: database.NewRowCache[user](deps.DB, cachedProfiles)}
	a.swept = make(chan struct{}, 1)
	var err error
	if a.policy, err = newPolicy(config.PasswordMin, config.PasswordMax, config.PasswordBlocklist); err != nil {
		return nil, err
	}
	if err := a.openSecrets(ctx); err != nil {
		return nil, err
	}
	if a.oauth, err = openOAuth(ctx, deps, config.OAuth); err != nil {
		return nil, err
	}
	if a.passkeys, err = openPasskeys(ctx, deps, config.Passkeys); err != nil {
		return nil, err
	}
	if err := a.openBuckets(ctx); err != nil {
		return nil, err
	}
	if a.metrics, err = newMetrics(deps.Metrics, a.live, a.passwords, deps.Now); err != nil {
		a.live.Close()
		return nil, err
	}
	return a, nil
}

// openSecrets reads the actor's random keys and makes the hashing pool.
func (a *Actor) openSecrets(ctx context.Context) error {
	own := map[string][]byte{}
	for _, name := range []string{secretPepper, secretRefresh, secretIndex, secretDevice} {
		secret, err := ownSecret(ctx, a.DB, a.Sealer, name)
		if err != nil {
			return err
		}
		own[name] = secret
	}
	a.refreshKey, a.deviceKey = own[secretRefresh], own[secretDevice]
	a.attempts = a.newGate(a.config.LockoutFailures, own[secretIndex])
	a.strangers = a.newGate(a.config.AccountFailures, own[secretIndex])
	var peppers [][]byte
	for _, pepper := range []string{a.config.Pepper.Reveal(), a.config.PreviousPepper.Reveal()} {
		if pepper != "" {
			peppers = append(peppers, []byte(pepper))
		}
	}
	a.passwords = newPasswords(a.config, append(peppers, own[secretPepper])...)
	return nil
}

func (a *Actor) newGate(failures int, index []byte) *gate {
	return &gate{
		rule: lockout{failures: failures, length: a.config.LockoutFor}, index: index,
		now: a.Now, newID: a.NewID, queue: map[string]*line{},
	}
}

func (a *Actor) openBuckets(ctx context.Context) error {
	js := a.Conn.JS
	var err error
	if a.sessions, err = kv.Open[session](ctx, js, kv.AuthSessions); err != nil {
		return err
	}
	if a.revoked, err = kv.Open[subjects.RevokedSession](ctx, js, kv.AuthRevoked); err != nil {
		return err
	}
	if a.attempts.bucket, err = kv.Open[attempts](ctx, js, kv.AuthAttempts); err != nil {
		return err
	}
	a.strangers.bucket = a.attempts.bucket
	a.keys = &keyring{db: a.DB, sealer: a.Sealer, now: a.Now, newID: a.NewID, keep: a.config.AccessTTL}
	if a.keys.published, err = kv.Open[subjects.SigningKey](ctx, js, kv.AuthKeys); err != nil {
		return err
	}
	if err := a.keys.load(ctx); err != nil {
		return err
	}
	marks, err := kv.Open[sessionMark](ctx, js, kv.AuthSessions)
	if err != nil {
		return err
	}
	if a.live, err = kv.Watch(ctx, marks, ">"); err != nil {
		return fmt.Errorf("counting sessions: %w", err)
	}
	return nil
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "auth",
		Bindings: []actors.Binding{
			actors.Bind(subjects.Register, a.register),
			actors.Bind(subjects.Login, a.login),
			actors.Bind(subjects.RefreshToken, a.refreshToken),
			actors.Bind(subjects.Logout, a.logout),
			actors.Bind(subjects.ListSessions, a.listSessions),
			actors.Bind(subjects.RevokeSession, a.revokeSession),
			actors.Bind(subjects.ValidateToken, a.validateToken),
			actors.Bind(subjects.JWKS, a.jwks),
			actors.Bind(subjects.GetUserProfile, a.getUserProfile),
			actors.Bind(subjects.UpdateUserProfile, a.updateUserProfile),
			actors.Bind(subjects.GetContact, a.getContact),
			actors.Bind(subjects.VerifyEmail, a.verifyEmail),
			actors.Bind(subjects.ResendVerification, a.resendVerification),
			actors.Bind(subjects.ChangeEmail, a.changeEmail),
			actors.Bind(subjects.RequestPasswordReset, a.requestPasswordReset),
			actors.Bind(subjects.ResetPassword, a.resetPassword),
			actors.Bind(subjects.ChangePassword, a.changePassword),
			actors.Bind(subjects.VerifyMFA, a.verifyMFA),
			actors.Bind(subjects.EnrollTOTP, a.enrollTOTP),
			actors.Bind(subjects.ConfirmTOTP, a.confirmTOTP),
			actors.Bind(subjects.DisableTOTP, a.disableTOTP),
			actors.Bind(subjects.BeginPasskeyRegistration, a.beginPasskeyRegistration),
			actors.Bind(subjects.FinishPasskeyRegistration, a.finishPasskeyRegistration),
			actors.Bind(subjects.ListPasskeys, a.listPasskeys),
			actors.Bind(subjects.DeletePasskey, a.deletePasskey),
			actors.Bind(subjects.BeginPasskeyLogin, a.beginPasskeyLogin),
			actors.Bind(subjects.FinishPasskeyLogin, a.finishPasskeyLogin),
			actors.Bind(subjects.InitiateOAuth, a.initiateOAuth),
			actors.Bind(subjects.CompleteOAuth, a.completeOAuth),
			actors.Bind(subjects.ListIdentities, a.listIdentities),
			actors.Bind(subjects.LinkIdentity, a.linkIdentity),
			actors.Bind(subjects.UnlinkIdentity, a.unlinkIdentity),
			actors.Bind(subjects.CreateAPIKey, a.createAPIKey),
			actors.Bind(subjects.ListAPIKeys, a.listAPIKeys),
			actors.Bind(subjects.RevokeAPIKey, a.revokeAPIKey),
			actors.Bind(subjects.ExchangeAPIKey, a.exchangeAPIKey),
			actors.Bind(subjects.ListUsers, a.listUsers),
			actors.Bind(subjects.GetUser, a.getUser),
			actors.Bind(subjects.UpdateUser, a.updateUser),
			actors.Bind(subjects.EndUserSessions, a.endUserSessions),
			actors.Bind(subjects.EndAllSessions, a.endEverySession),
			actors.Bind(subjects.ListAuditEvents, a.listAuditEvents),
			actors.Bind(subjects.DeleteAccount, a.deleteAccount),
			actors.Bind(subjects.GetErasure, a.getErasure),
		},
		Workers: []actors.Worker{
			actors.Work(subjects.SendLetter, a.sendLetter),
			actors.Listen(subjects.NoteErasure, a.noteErasure),
		},
		Background: map[string]func(context.Context) error{
			"keys": func(ctx context.Context) error {
				return a.keys.run(ctx, a.config.KeyReload, a.config.KeyRotation)
			},
			"letters":         a.sweepLetters,
			"audit":           a.sweepAudit,
			"erasures":        a.runErasures,
			"ended_sessions":  a.sweepSessions,
			"provider_tokens": a.refreshTokens,
			"live_sessions": func(ctx context.Context) error {
				<-ctx.Done()
				a.live.Close()
				return nil
			},
		},
	}
}
