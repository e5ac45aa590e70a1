package integration

import (
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"slices"

	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Check returns a mesh.SettingError for each invalid setting. It does not read ProvidersDir: with one, New finds settings of
// unknown providers.
func (c Config) Check() error {
	return c.check(func(provider string) bool {
		_, err := fs.Stat(providers.FS, provider+".yaml")
		return err == nil || c.ProvidersDir != ""
	})
}

// check is Check, where known reports whether a provider exists.
func (c Config) check(known func(provider string) bool) error {
	errs := []error{
		mesh.SettingPositive("integration.timeout", c.Timeout),
		mesh.SettingPositive("integration.max_response", c.MaxResponse),
		mesh.SettingPositive("integration.max_connections", c.MaxConnections),
		mesh.SettingPositive("integration.retry.attempts", c.Retry.Attempts),
		mesh.SettingPositive("integration.retry.backoff", c.Retry.Backoff),
		mesh.SettingPositive("integration.retry.max_backoff", c.Retry.MaxBackoff),
		mesh.SettingPositive("integration.retry.max_retry_after", c.Retry.MaxRetryAfter),
		mesh.SettingPositive("integration.breaker.failures", c.Breaker.Failures),
		mesh.SettingPositive("integration.breaker.half_open", c.Breaker.HalfOpen),
		mesh.SettingPositive("integration.breaker.open", c.Breaker.Open),
		mesh.SettingPositive("integration.webhooks.per_connection", c.Webhooks.PerConnection),
		mesh.SettingPositive("integration.webhooks.remember", c.Webhooks.Remember),
		mesh.SettingPositive("integration.webhooks.old_secret", c.Webhooks.OldSecret),
		mesh.SettingPositive("integration.webhooks.handshake_within", c.Webhooks.HandshakeWithin),
		mesh.SettingPositive("integration.webhooks.max_deliveries_per_day", c.Webhooks.MaxDeliveriesPerDay),
		mesh.SettingPositive("integration.webhooks.max_bytes_per_day", c.Webhooks.MaxBytesPerDay),
		mesh.SettingPositive("integration.webhooks.max_bytes_per_minute", c.Webhooks.MaxBytesPerMinute),
		mesh.SettingPositive("integration.calls.keep_for", c.Calls.KeepFor),
		mesh.SettingPositive("integration.calls.keep_newest", c.Calls.KeepNewest),
		mesh.SettingPositive("integration.calls.sweep_every", c.Calls.SweepEvery),
		mesh.SettingPositive("integration.refresh.before", c.Refresh.Before),
		mesh.SettingPositive("integration.refresh.every", c.Refresh.Every),
		mesh.SettingPositive("integration.refresh.timeout", c.Refresh.Timeout),
		mesh.SettingBetween("integration.state_ttl", c.StateTTL, 1, maxStateTTL),
		mesh.SettingAtLeast("integration.limits.max_wait", c.Limits.MaxWait, 0),
		mesh.SettingAtLeast("integration.probe_every", c.ProbeEvery, 0),
		c.Objects.check(),
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
		errs = append(errs, mesh.InvalidSetting("integration.public_url", "is %q, and must be an http or https URL without query", c.PublicURL))
	}
	if c.RedirectURI != "" {
		errs = append(errs, checkRedirect("integration.redirect_uri", c.RedirectURI))
	}
	for _, uri := range c.RedirectURIs {
		if uri != "" {
			errs = append(errs, checkRedirect("integration.redirect_uris", uri))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Providers)) {
		setting := "integration.providers." + id
		if !known(id) {
			errs = append(errs, mesh.InvalidSetting(setting, "is unknown: there is no such provider"))
		}
		errs = append(errs, c.Providers[id].check(setting))
	}
	return errors.Join(errs...)
}

func checkRedirect(setting, uri string) error {
	if oauthstate.GoodRedirect(uri) {
		return nil
	}
	return mesh.InvalidSetting(setting, "has %q, and must be an https URI, an http URI of this machine or a URI of a private-use scheme", uri)
}

func (c ObjectsConfig) check() error {
	errs := []error{
		mesh.SettingPositive("integration.objects.max_size", c.MaxSize),
		mesh.SettingPositive("integration.objects.per_user", c.PerUser),
		mesh.SettingPositive("integration.objects.total", c.Total),
		mesh.SettingPositive("integration.objects.keep_for", c.KeepFor),
		mesh.SettingPositive("integration.objects.max_keep_for", c.MaxKeepFor),
		mesh.SettingPositive("integration.objects.upload_within", c.UploadWithin),
		mesh.SettingPositive("integration.objects.sweep_every", c.SweepEvery),
		mesh.SettingBetween("integration.objects.part_size", c.PartSize, subjects.MinPart, subjects.MaxPart),
	}
	fail := func(setting, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting(setting, format, args...))
	}
	if c.Total > 0 && c.Total < c.MaxSize {
		fail("integration.objects.total", "is %d, and must be at least max_size, which is %d", c.Total, c.MaxSize)
	}
	if c.MaxKeepFor > 0 && c.MaxKeepFor < c.KeepFor {
		fail("integration.objects.max_keep_for", "is %s, and must be at least keep_for, which is %s", c.MaxKeepFor, c.KeepFor)
	}
	if limit := kv.IntegrationObjects.TTL; c.MaxKeepFor+c.UploadWithin > limit {
		fail("integration.objects.max_keep_for", "is %s, and must be at most %s together with upload_within, which is %s", c.MaxKeepFor, limit, c.UploadWithin)
	}
	return errors.Join(errs...)
}

// check checks the settings of one provider. setting is the path of its section.
func (c ProviderConfig) check(setting string) error {
	errs := []error{
		mesh.SettingAtLeast(setting+".timeout", c.Timeout, 0),
		mesh.SettingAtLeast(setting+".attempts", c.Attempts, 0),
		mesh.SettingAtLeast(setting+".backoff", c.Backoff, 0),
		checkOptionalURL(setting+".base_url", c.BaseURL),
		checkOptionalURL(setting+".oauth_url", c.OAuthURL),
		checkClientHosts(setting+".client_hosts", c.ClientHosts),
	}
	for _, limit := range slices.Sorted(maps.Keys(c.Limits)) {
		errs = append(errs, mesh.SettingPositive(setting+".limits."+limit, c.Limits[limit]))
	}
	return errors.Join(errs...)
}

func checkOptionalURL(setting, text string) error {
	if u, err := url.Parse(text); text != "" && (err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http") {
		return mesh.InvalidSetting(setting, "is %q, and must be an http or https URL", text)
	}
	return nil
}
