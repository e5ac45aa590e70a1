// Package auth is the identity service: accounts, credentials, sessions, API keys and the keys that sign access tokens.
//
// It owns
//   - the subjects weft.v1.auth.…, and the events weft.event.v1.auth.…;
//   - the tables users, messages (outgoing e-mail messages), api_keys, totp, recovery_codes, identities, passkeys,
//     audit_events, erasures, erasure_answers, signing_keys and secrets;
//   - the stream JOBS_AUTH, with the jobs that hand e-mail messages to the notification actor;
//   - the buckets auth_sessions, auth_keys, auth_revoked, auth_blocked, auth_attempts, auth_oauth_state and auth_ceremonies.
//
// A revocation is in a bucket and known to every process before it is acknowledged; a grant is recorded in SQL first.
// No secret is stored in clear text: passwords are hashed over a keyed digest, refresh tokens are hashed, private keys
// are sealed.
//
// Times in the tables are microseconds since the Unix epoch; 0 means never, or not yet.
package auth

import (
	"context"
	"embed"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/holdings"
	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are auth's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// startTimeout bounds the reads and writes of New.
const startTimeout = 30 * time.Second

// profileCacheSize is the number of profiles kept in memory.
const profileCacheSize = 10_000

// Actor serves weft.v1.auth.
type Actor struct {
	actors.Deps

	config      Config
	policy      *password.Policy
	hasher      *password.Hasher
	keys        *keyring
	recorder    *recorder
	mailer      *mailer
	devices     devices
	sessions    *sessions
	credentials *credentials
	apiKeys     *apiKeys
	ownership   *ownership
	oauth       *oauth
	identities  *identities
	passkeys    *passkeys
	blocks      *blocks
	erasures    *erasures
	profiles    *database.RowCache[user]
	metrics     *metrics
	bounds      *bounds
}

// New opens the actor. It reads its secrets and signing keys, creating those that are missing, and publishes the public
// keys.
func New(deps actors.Deps, config Config) (*Actor, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	a := &Actor{Deps: deps, config: config, profiles: database.NewRowCache[user](deps.DB, "users", profileCacheSize)}
	var err error
	if a.policy, err = password.NewPolicy(config.PasswordMin, config.PasswordMax, config.PasswordBlocklist); err != nil {
		return nil, err
	}
	own, err := loadSecrets(ctx, deps)
	if err != nil {
		return nil, err
	}
	a.hasher = password.NewHasher(config.hashWorkers(), config.HashQueue, config.BcryptCost, own.pepper)
	a.devices = devices{key: own.device}
	a.recorder = &recorder{Deps: deps, retention: config.AuditKept, keep: config.AuditEventsPerUser}
	a.bounds = newBounds(a)
	a.mailer = &mailer{Deps: deps, config: config, macKey: own.index}
	if a.blocks, err = openBlocks(ctx, deps, config.AccessTTL); err != nil {
		return nil, err
	}
	if a.oauth, err = openOAuth(ctx, deps, config.OAuth); err != nil {
		return nil, err
	}
	if a.passkeys, err = openPasskeys(ctx, deps, config.Passkeys, a.mailer, a.recorder, a.bounds); err != nil {
		return nil, err
	}
	if a.credentials, err = openCredentials(ctx, a, own.index); err != nil {
		return nil, err
	}
	if a.keys, err = openKeyring(ctx, deps, config.AccessTTL); err != nil {
		return nil, err
	}
	if a.sessions, err = openSessions(ctx, a, own.refresh); err != nil {
		return nil, err
	}
	if a.metrics, err = newMetrics(deps.Metrics, a.sessions.active, a.hasher, deps.Now); err != nil {
		a.sessions.active.Close()
		return nil, err
	}
	a.apiKeys = &apiKeys{Deps: deps, sessions: a.sessions}
	a.erasures = &erasures{Deps: deps, config: config, recorder: a.recorder, sessions: a.sessions, blocks: a.blocks}
	a.ownership = &ownership{
		Deps: deps, config: config, erasures: a.erasures, apiKeys: a.apiKeys, mailer: a.mailer, recorder: a.recorder, metrics: a.metrics,
	}
	a.identities = &identities{
		Deps: deps, config: config, oauth: a.oauth, sessions: a.sessions, ownership: a.ownership, mailer: a.mailer,
		recorder: a.recorder, metrics: a.metrics,
	}
	return a, nil
}

// Service returns the actor's endpoints, consumers and background loops.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name:     "auth",
		Bindings: a.bindings(),
		Workers: []actors.Worker{
			actors.Work(subjects.SendMail, a.sendMessage),
			actors.Listen(subjects.ErasureConfirmations, a.noteErasure),
		},
		Background: map[string]func(context.Context) error{
			"keys": func(ctx context.Context) error {
				return a.keys.run(ctx, a.config.KeyReload, a.config.KeyRotation)
			},
			"messages":        a.mailer.sweep,
			"audit":           a.recorder.sweep,
			"erasures":        a.erasures.run,
			"blocks":          a.blocks.run,
			"ended_sessions":  a.sessions.runSweep,
			"provider_tokens": a.identities.runRefresh,
			"live_sessions": func(ctx context.Context) error {
				<-ctx.Done()
				a.sessions.active.Close()
				return nil
			},
		},
	}
}

// bindings lists the actor's endpoints.
func (a *Actor) bindings() []actors.Binding {
	return []actors.Binding{
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
		actors.Bind(subjects.PostOAuth, a.postOAuth),
		actors.Bind(subjects.ListIdentities, a.listIdentities),
		actors.Bind(subjects.LinkIdentity, a.linkIdentity),
		actors.Bind(subjects.UnlinkIdentity, a.unlinkIdentity),
		actors.Bind(subjects.CreateAPIKey, a.createAPIKey),
		actors.Bind(subjects.GetAuthLimits, a.getLimits),
		actors.Bind(subjects.ListAPIKeys, a.listAPIKeys),
		actors.Bind(subjects.RevokeAPIKey, a.revokeAPIKey),
		actors.Bind(subjects.ExchangeAPIKey, a.exchangeAPIKey),
		actors.Bind(subjects.GetAPIKeyState, keyStates{a}.read),
		actors.Bind(subjects.ListUsers, a.listUsers),
		actors.Bind(subjects.GetUser, a.getUser),
		actors.Bind(subjects.UpdateUser, a.updateUser),
		actors.Bind(subjects.EndUserSessions, a.endUserSessions),
		actors.Bind(subjects.EndAllSessions, a.endAllSessions),
		actors.Bind(subjects.ListAuditEvents, a.listAuditEvents),
		actors.Bind(subjects.DeleteAccount, a.deleteAccount),
		actors.Bind(subjects.GetErasure, a.getErasure),
		actors.Bind(subjects.EraseAccount, erasureRequests{a}.erase),
		dataexport.Bind(subjects.ExportAuthSubject, a.Deps, holdings.Set(Sealed, a.sessions.export)),
	}
}
