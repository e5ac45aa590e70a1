package auth

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"golang.org/x/crypto/bcrypt"

	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/mesh"
)

// Check returns a mesh.SettingError for each setting that is invalid or unsafe.
func (c Config) Check() error {
	errs := []error{
		mesh.SettingBetween("auth.bcrypt_cost", c.BcryptCost, bcrypt.MinCost, 16),
		mesh.SettingBetween("auth.hash_workers", c.HashWorkers, 0, 1024),
		mesh.SettingBetween("auth.hash_queue", c.HashQueue, 1, 10_000),
		mesh.SettingBetween("auth.lockout_failures", c.LockoutFailures, 1, 1000),
		mesh.SettingBetween("auth.account_failures", c.AccountFailures, 1, 1_000_000),
		mesh.SettingBetween("auth.sessions_per_user", c.SessionsPerUser, 1, 10_000),
		mesh.SettingBetween("auth.api_keys_per_user", c.APIKeysPerUser, 0, maxAPIKeys),
		mesh.SettingBetween("auth.passkeys_per_user", c.PasskeysPerUser, 0, maxPasskeys),
		mesh.SettingAtLeast("auth.audit_events_per_user", c.AuditEventsPerUser, 1),
		mesh.SettingBetween("auth.totp_skew", c.TOTPSkew, 0, 1),
		mesh.SettingBetween("auth.mails_per_hour", c.MailsPerHour, 1, 1000),
		mesh.SettingBetween("auth.password_min", c.PasswordMin, 8, 64),
		mesh.SettingBetween("auth.password_max", c.PasswordMax, 64, 1024),
		mesh.SettingAtLeast("auth.access_ttl", c.AccessTTL, time.Second),
		mesh.SettingAtLeast("auth.session_ttl", c.SessionTTL, time.Second),
		mesh.SettingAtLeast("auth.lockout_for", c.LockoutFor, time.Second),
		mesh.SettingAtLeast("auth.key_reload", c.KeyReload, time.Second),
		mesh.SettingAtLeast("auth.token_ttl", c.TokenTTL, time.Second),
		mesh.SettingAtLeast("auth.audit_kept", c.AuditKept, time.Second),
		mesh.SettingAtLeast("auth.erasure_settle", c.ErasureSettle, time.Second),
		mesh.SettingAtLeast("auth.erasure_retry", c.ErasureRetry, time.Second),
		mesh.SettingAtLeast("auth.refresh_grace", c.RefreshGrace, 0),
		mesh.SettingAtLeast("auth.key_rotation", c.KeyRotation, 0),
	}
	if c.SessionIdle != 0 && c.SessionIdle < time.Second {
		errs = append(errs, mesh.InvalidSetting("auth.session_idle", "is %s, and must be 0, which disables it, or at least 1s", c.SessionIdle))
	}
	if !slices.Contains([]string{requireOff, requireAdmins, requireAll}, c.RequireSecondFactor) {
		errs = append(errs, mesh.InvalidSetting("auth.require_second_factor", "is %q, and must be off, admins or all", c.RequireSecondFactor))
	}
	if c.ClientID == "" {
		errs = append(errs, mesh.InvalidSetting("auth.client_id", "must not be empty"))
	}
	return errors.Join(append(errs, c.Passkeys.check(), c.OAuth.check())...)
}

func (c PasskeyConfig) check() error {
	errs := []error{mesh.SettingBetween("auth.passkeys.ceremony_ttl", c.CeremonyTTL, time.Second, time.Hour)}
	fail := func(setting, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting(setting, format, args...))
	}
	rpID := protocol.ValidateRPID(c.RPID)
	if rpID != nil {
		fail("auth.passkeys.rp_id", "is %q, and must be a domain: %v", c.RPID, rpID)
	}
	if c.RPName == "" {
		fail("auth.passkeys.rp_name", "must not be empty")
	}
	if len(c.Origins) == 0 {
		fail("auth.passkeys.origins", "must not be empty")
	}
	for _, origin := range c.Origins {
		if rpID == nil && !c.goodOrigin(origin) {
			fail("auth.passkeys.origins", "has %q, and must have https origins (http for localhost) of %s or its subdomains", origin, c.RPID)
		}
	}
	return errors.Join(errs...)
}

func (c OAuthConfig) check() error {
	errs := []error{
		mesh.SettingBetween("auth.oauth.state_ttl", c.StateTTL, time.Second, maxOAuthState),
		mesh.SettingAtLeast("auth.oauth.fresh_for", c.FreshFor, time.Second),
		mesh.SettingAtLeast("auth.oauth.refresh_every", c.RefreshEvery, time.Second),
		mesh.SettingAtLeast("auth.oauth.refresh_before", c.RefreshBefore, time.Second),
	}
	for _, id := range slices.Sorted(maps.Keys(c.Providers)) {
		setting := "auth.oauth.providers." + id
		if !providerID.MatchString(id) {
			errs = append(errs, mesh.InvalidSetting(setting, "must be named with lower-case letters, digits, - and _, beginning with a letter"))
		}
		errs = append(errs, c.Providers[id].withDefaults(id).check(setting))
	}
	return errors.Join(errs...)
}

// check checks a provider with its defaults filled in. setting is the path of its section.
func (p OAuthProvider) check(setting string) error {
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting(setting+"."+key, format, args...))
	}
	if !slices.Contains([]string{kindOpenID, kindGoogle, kindGitHub, kindMicrosoft, kindApple}, p.Kind) {
		fail("kind", "is %q, and must be google, github, microsoft, apple or oidc", p.Kind)
	}
	if u, err := url.Parse(p.Issuer); err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		fail("issuer", "is %q, and must be a URL without credentials, query and fragment", p.Issuer)
	}
	if p.ClientID == "" {
		fail("client_id", "must not be empty")
	}
	if p.Kind == kindApple {
		errs = append(errs, p.checkApple(setting))
	}
	if len(p.RedirectURIs) == 0 {
		fail("redirect_uris", "must not be empty")
	}
	for _, uri := range p.RedirectURIs {
		if !oauthstate.GoodRedirect(uri) {
			fail("redirect_uris", "has %q, and must have https URIs, http URIs of this machine or URIs of a private-use scheme with a dot, without fragment", uri)
		}
	}
	return errors.Join(errs...)
}
