package main

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/mesh"

	"github.com/weftmesh/weft/cmd/weft/settings"
)

// invalidValues has, for each setting with a bound, values beyond it.
var invalidValues = map[string][]string{
	"durability": {"sometimes", ""}, "issuer": {""}, "audience": {""},
	"nats.listen": {"nowhere", "host:70000", "host:-1"}, "nats.replicas": {"0", "6"}, "nats.leaf_listen": {"nowhere"},
	"edge.contact_every": {"0s", "2h"}, "edge.outbox_messages": {"0"}, "edge.outbox_bytes": {"1000"},
	"log.level": {"loud"}, "metrics.port": {"65536"}, "tracing.ratio": {"-0.1", "1.1"}, "egress.allow": {"10.0.0.0", "10.0.0.0/8,here"},

	"auth.bcrypt_cost": {"3", "17"}, "auth.hash_workers": {"-1", "1025"}, "auth.hash_queue": {"0", "10001"},
	"auth.lockout_failures": {"0", "1001"}, "auth.account_failures": {"0", "1000001"}, "auth.sessions_per_user": {"0", "10001"},
	"auth.totp_skew": {"-1", "2"}, "auth.mails_per_hour": {"0", "1001"}, "auth.password_min": {"7", "65"}, "auth.password_max": {"63", "1025"},
	"auth.access_ttl": {"999ms"}, "auth.session_ttl": {"0s"}, "auth.session_idle": {"1ms", "-1s"}, "auth.lockout_for": {"0s"}, "auth.key_reload": {"0s"},
	"auth.token_ttl": {"0s"}, "auth.audit_kept": {"0s"}, "auth.erasure_settle": {"0s"}, "auth.erasure_retry": {"0s"},
	"auth.refresh_grace": {"-1s"}, "auth.key_rotation": {"-1s"}, "auth.client_id": {""}, "auth.require_second_factor": {"", "some"},
	"auth.passkeys.rp_id": {"", "https://weft.example"}, "auth.passkeys.rp_name": {""}, "auth.passkeys.origins": {"", "http://weft.example"},
	"auth.passkeys.ceremony_ttl": {"0s", "61m"}, "auth.oauth.state_ttl": {"0s", "61m"}, "auth.oauth.fresh_for": {"0s"},
	"auth.oauth.refresh_every": {"0s"}, "auth.oauth.refresh_before": {"0s"},

	"integration.timeout": {"0s"}, "integration.max_response": {"0"}, "integration.max_connections": {"0"},
	"integration.retry.attempts": {"0"}, "integration.retry.backoff": {"0s"}, "integration.retry.max_backoff": {"0s"},
	"integration.retry.max_retry_after": {"0s"}, "integration.breaker.failures": {"0"}, "integration.breaker.half_open": {"0"},
	"integration.breaker.open": {"0s"}, "integration.calls.keep_for": {"0s"}, "integration.calls.keep_newest": {"0"},
	"integration.calls.sweep_every": {"0s"}, "integration.public_url": {"weft.example", "ftp://weft.example", "http://weft.example?a=b"},
	"integration.limits.max_wait": {"-1s"}, "integration.probe_every": {"-1s"}, "integration.webhooks.per_connection": {"0"},
	"integration.webhooks.remember": {"0s"}, "integration.webhooks.old_secret": {"0s"}, "integration.webhooks.handshake_within": {"0s"},
	"integration.objects.max_size": {"0"}, "integration.objects.per_user": {"0"}, "integration.objects.total": {"0", "1024"},
	"integration.objects.keep_for": {"0s"}, "integration.objects.max_keep_for": {"0s", "1h", "100000h"}, "integration.objects.upload_within": {"0s"},
	"integration.objects.part_size": {"1", "1000000000"}, "integration.objects.sweep_every": {"0s"}, "integration.refresh.before": {"0s"},
	"integration.refresh.every": {"0s"}, "integration.refresh.timeout": {"0s"}, "integration.redirect_uri": {"http://weft.example/"},
	"integration.redirect_uris": {"https://weft.example/,http://weft.example/"}, "integration.state_ttl": {"0s", "61m"},

	"workflow.max_concurrent": {"0", "10001"}, "workflow.max_steps": {"0", "10001"}, "workflow.step_timeout": {"0s"}, "workflow.step_retries": {"-1"},
	"workflow.step_retry_delay": {"-1s"}, "workflow.short_wait": {"-1s"}, "workflow.max_input": {"0", "600000"}, "workflow.max_result": {"0", "600000"},
	"workflow.max_queued": {"-1"}, "workflow.max_queued_per_user": {"0"}, "workflow.cut_after": {"0"}, "workflow.retention": {"-1s"}, "workflow.edge_lease": {"0s", "721h"},

	"consent.expiry": {"0s"}, "consent.max_expiry": {"-1s", "1h"}, "consent.notices.max_versions": {"0"}, "consent.notices.token_ttl": {"0s", "25h"},
	"consent.expiry_notice": {"-1s"}, "consent.renew_url": {"app.example", "https://app.example/#renew"},
	"consent.retention.ended": {"1h"}, "consent.retention.refused": {"-1s"},
	"consent.privacy.keep_exports": {"0s", "169h"}, "consent.privacy.max_export": {"1000"}, "consent.privacy.max_requests_per_month": {"0"},
	"consent.privacy.retry": {"0s"}, "consent.controller.country": {"Germany"}, "consent.controller.url": {"acme"},

	"notification.tick": {"0s"}, "notification.smtp.from": {"", "nobody"}, "notification.smtp.port": {"0", "65536"}, "notification.smtp.timeout": {"0s"},
	"notification.smtp.tls":      {"", "ssl", "none"},
	"notification.twilio.weight": {"0", "1001"}, "notification.sns.weight": {"0", "1001"}, "notification.webpush.subject": {"ops@example.com"},
	"notification.phone.max_codes_per_user": {"0"}, "notification.phone.max_codes_per_number": {"0"}, "notification.phone.max_codes_per_range": {"0"},
	"notification.phone.max_attempts": {"0", "21"}, "notification.phone.allowed_countries": {"de", "Germany"},
	"notification.devices.max_per_user": {"0", "1001"},

	"gateway.max_body": {"0"}, "gateway.max_header": {"0"}, "gateway.drain_timeout": {"0s"}, "gateway.limits.global": {"0"}, "gateway.limits.per_user": {"0"},
	"gateway.limits.per_ip": {"0"}, "gateway.breaker.failures": {"0"}, "gateway.breaker.open": {"0s"}, "gateway.streams.max": {"0"},
	"gateway.streams.per_user": {"0"}, "gateway.streams.heartbeat": {"0s"}, "gateway.streams.recheck": {"0s"},
	"gateway.cors_origins": {"app.example", "https://app.example/path"}, "gateway.trusted_proxies": {"10.0.0.0/40", "proxy"},

	"auth.api_keys_per_user": {"-1"}, "auth.audit_events_per_user": {"-1"}, "auth.passkeys_per_user": {"-1"},
	"consent.max_grants_per_day": {"-1"}, "consent.ledger.quorum": {"-1", "1"}, "gateway.body_budget": {"-1"}, "gateway.connections.max": {"-1"},
	"gateway.connections.per_address": {"-1"}, "integration.webhooks.max_bytes_per_day": {"-1"}, "integration.webhooks.max_bytes_per_minute": {"-1"},
	"integration.webhooks.max_deliveries_per_day": {"-1"}, "notification.max_kept_bytes_per_user": {"-1"},
	"notification.webhooks.per_user": {"-1"}, "notification.webhooks.max_per_minute": {"0", "100001"},
	"notification.webhooks.max_pending_per_user": {"0"}, "notification.webhooks.max_deliveries_per_day": {"0"},
	"notification.webhooks.max_bytes_per_day": {"0"}, "notification.webhooks.old_secret": {"0s"}, "notification.webhooks.disable_after": {"0s"},
	"notification.max_kept_per_user": {"-1"}, "notification.max_scheduled_per_user": {"-1"}, "workflow.max_active_per_user": {"-1"},
	"notification.pipeline.email_per_hour": {"-1"}, "notification.pipeline.sms_per_hour": {"-1"}, "notification.pipeline.push_per_hour": {"-1"},
	"notification.pipeline.security_per_hour": {"-1"}, "notification.pipeline.max_waiting_per_user": {"0"}, "notification.pipeline.sweep": {"0s"},
	"notification.pipeline.sweep_after": {"1s"}, "notification.smtp.weight": {"0"}, "notification.ses.weight": {"0"}, "notification.sendgrid.weight": {"0"},
	"notification.templates.app_name": {""}, "notification.templates.default_locale": {"EN", "no language"}, "notification.templates.max_templates": {"-1"},
	"workflow.max_approvals_per_user": {"-1"}, "workflow.max_bytes": {"-1"}, "workflow.max_bytes_per_user": {"-1"},
	"workflow.max_concurrent_per_user": {"0", "10001"}, "workflow.max_correlation_bytes_per_user": {"-1"},
	"workflow.max_definition_bytes_per_user": {"-1"}, "workflow.max_history": {"0", "2000000000"},
	"workflow.max_refused_starts_per_user": {"-1"}, "workflow.max_schedules_per_user": {"-1"}, "workflow.max_secrets_per_user": {"-1"},
	"workflow.max_slow_per_user": {"-1"}, "workflow.max_steps_per_user": {"0", "10001"}, "workflow.max_versions": {"-1"},
	"workflow.max_workflows_per_user": {"-1"}, "workflow.extensions.max_wait": {"-1s", "25h"}, "workflow.extensions.max_duration": {"0s", "200h"},
	"workflow.extensions.max_concurrent": {"0", "10001"}, "workflow.extensions.max_events": {"0", "1000001"},
}

// unbounded are the numeric settings of which every value is valid.
var unbounded = []string{"database.max_open", "database.max_idle", "database.idle_time", "database.max_lifetime"}

func TestInvalidValuesNameTheirSetting(t *testing.T) {
	t.Parallel()
	for setting, values := range invalidValues {
		for _, value := range values {
			environ := []string{settings.VariableOf(setting) + "=" + value}
			if strings.HasPrefix(setting, "notification.smtp.") {
				environ = append(environ, "WEFT_NOTIFICATION_SMTP_HOST=mail.example")
			}
			_, err := loadConfig("", environ)
			if err == nil {
				t.Errorf("%s is accepted", environ)
				continue
			}
			if !strings.HasPrefix(err.Error(), settings.VariableOf(setting)+": "+setting+" ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s gives %v", environ, err)
			}
		}
	}
}

func TestEveryNumericSettingHasABound(t *testing.T) {
	t.Parallel()
	for path, kind := range settings.KnownKeys().Leaves() {
		numeric := kind.Kind() >= reflect.Int && kind.Kind() <= reflect.Float64
		if numeric && invalidValues[path] == nil && !slices.Contains(unbounded, path) && !strings.Contains(path, "*") {
			t.Errorf("%s has neither a bound nor an entry among the unbounded settings", path)
		}
	}
}

func TestInvalidSettingsOfProvidersAreNamed(t *testing.T) {
	t.Parallel()
	const signIn = "auth:\n  oauth:\n    providers:\n      own: {client_id: a, redirect_uris: ['https://weft.example/callback'], issuer: 'https://id.example'}\n"
	mustLoad(t, configFile(t, signIn))
	with := func(old, replacement string) string { return strings.Replace(signIn, old, replacement, 1) }
	for text, want := range map[string]string{
		with("own", "Own"):                             "FILE:4: auth.oauth.providers.Own must be named",
		with("client_id: a", "client_id: ''"):          "FILE:4: auth.oauth.providers.own.client_id must not be empty",
		with("https://id", ""):                         `FILE:4: auth.oauth.providers.own.issuer is ".example"`,
		with("https://weft", "http://weft"):            `FILE:4: auth.oauth.providers.own.redirect_uris has "http://weft.example/callback"`,
		with("client_id", "kind: facebook, client_id"): `FILE:4: auth.oauth.providers.own.kind is "facebook"`,

		"integration: {providers: {slack: {timeout: -1s}}}":            "FILE:1: integration.providers.slack.timeout is -1s",
		"integration: {providers: {slack: {attempts: -1}}}":            "FILE:1: integration.providers.slack.attempts is -1",
		"integration: {providers: {slack: {backoff: -1s}}}":            "FILE:1: integration.providers.slack.backoff is -1s",
		"integration: {providers: {slack: {base_url: here}}}":          `FILE:1: integration.providers.slack.base_url is "here"`,
		"integration: {providers: {slack: {oauth_url: 'ftp://a'}}}":    `FILE:1: integration.providers.slack.oauth_url is "ftp://a"`,
		"integration: {providers: {slack: {limits: {posts: 0}}}}":      "FILE:1: integration.providers.slack.limits.posts is 0",
		"integration: {providers: {nobody: {client_id: application}}}": "FILE:1: integration.providers.nobody is unknown",
	} {
		file := configFile(t, text)
		if _, err := loadConfig(file, nil); err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), file, "FILE"), want) {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
	// A directory of further manifests may have the provider. It need not be there where other actors run.
	mustLoad(t, configFile(t, "integration: {providers_dir: /nowhere, providers: {own: {client_id: a}}}"))
}

// TestInvalidPurposesAreNamed: a purpose of the file is named by its line, and valid ones are read with all that they have.
func TestInvalidPurposesAreNamed(t *testing.T) {
	t.Parallel()
	const purposes = "consent:\n  child_ages: {DE: 14}\n  purposes:\n    ads: {scope: x.ads, description: Sell., descriptions: {de-CH: Verkaufen.}, legal_basis: {US-CA: 'ccpa:opt-out'}, sale_or_share: sale}\n"
	c := mustLoad(t, configFile(t, purposes))
	ads := c.Consent.Purposes["ads"]
	if ads.Scope != "x.ads" || ads.SaleOrShare != "sale" || ads.LegalBasis["US-CA"] != "ccpa:opt-out" || ads.Descriptions["de-CH"] == "" || c.Consent.ChildAges["DE"] != 14 {
		t.Errorf("read %+v and %v", ads, c.Consent.ChildAges)
	}
	with := func(old, replacement string) string { return strings.Replace(purposes, old, replacement, 1) }
	for text, want := range map[string]string{
		with("x.ads", "ads"):        `FILE:4: consent.purposes.ads.scope is "ads"`,
		with("US-CA", "us"):         "FILE:4: consent.purposes.ads.legal_basis.us must be named",
		with("ccpa:opt-out", "law"): `FILE:4: consent.purposes.ads.legal_basis.US-CA is "law"`,
		with("sale}", "gift}"):      `FILE:4: consent.purposes.ads.sale_or_share is "gift"`,
		with("DE: 14", "DE: 90"):    "FILE:2: consent.child_ages.DE is 90",
		with("sale_or", "sold_or"):  "FILE:4: unknown setting consent.purposes.ads.sold_or_share",
	} {
		file := configFile(t, text)
		if _, err := loadConfig(file, nil); err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), file, "FILE"), want) {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
}

func TestSettingsThatDependOnOneAnotherAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"gateway: {tls_cert: a.pem}":                            "gateway.tls_key must be set together with gateway.tls_cert",
		"gateway: {tls_key: a.pem}":                             "gateway.tls_cert must be set together with gateway.tls_key",
		"consent: {expiry: 100000h}":                            "consent.max_expiry is 87600h0m0s, and must be at least consent.expiry, which is 100000h0m0s",
		"notification: {smtp: {host: mail.example, tls: none}}": "notification.smtp.tls is none, which is allowed for a server on this machine only, not for mail.example",
	} {
		if _, err := loadConfig(configFile(t, text), nil); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", text, err, want)
		}
	}
	mustLoad(t, configFile(t, "notification: {smtp: {host: localhost, tls: none}}"))
}

func TestEveryInvalidSettingIsReported(t *testing.T) {
	t.Parallel()
	var environ []string
	for _, setting := range slices.Sorted(maps.Keys(invalidValues)) {
		environ = append(environ, settings.VariableOf(setting)+"="+invalidValues[setting][0])
	}
	environ = append(environ, "WEFT_NOTIFICATION_SMTP_HOST=mail.example")
	_, err := loadConfig("", environ)
	if err == nil {
		t.Fatal("no error")
	}
	for setting := range invalidValues {
		if !strings.Contains(err.Error(), settings.VariableOf(setting)+": "+setting+" ") {
			t.Errorf("%s is not reported", setting)
		}
	}
}

func TestOriginOfASetting(t *testing.T) {
	t.Parallel()
	o := origins{"a.b": "file:1", "a.c": "WEFT_A_C", "ab.c": "file:9"}
	for setting, want := range map[string]string{
		"a.b": "file:1", "a.b[2]": "file:1", "a.c": "WEFT_A_C", "a": "file:1", "ab": "file:9", "a.d": "", "": "", "a.b.c": "",
	} {
		if got := o.of(setting); got != want {
			t.Errorf("%q is set at %q, want %q", setting, got, want)
		}
	}
	if o.locate(nil) != nil {
		t.Error("no error becomes one")
	}
	plain := errors.New("no setting")
	if got := o.locate(errors.Join(plain, mesh.InvalidSetting("a.c", "is wrong"))); got.Error() != "no setting\nWEFT_A_C: a.c is wrong" || !errors.Is(got, plain) {
		t.Errorf("got %v", got)
	}
	if got := decodeErrors(settings.KnownKeys(), plain); !errors.Is(got, plain) {
		t.Errorf("an error of another kind becomes %v", got)
	}
}
