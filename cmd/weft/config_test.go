package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh"
)

// configFile writes a configuration file and returns its name.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weft.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// mustLoad loads a valid configuration.
func mustLoad(t *testing.T, file string, environ ...string) Config {
	t.Helper()
	c, err := loadConfig(file, environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultConfigIsValid(t *testing.T) {
	t.Parallel()
	if got, want := fmt.Sprintf("%+v", mustLoad(t, "")), fmt.Sprintf("%+v", defaultConfig()); got != want {
		t.Errorf("loading nothing gives %s, want %s", got, want)
	}
}

func TestEnvironmentOverridesFileOverridesDefaults(t *testing.T) {
	t.Parallel()
	file := configFile(t, "issuer: file\naudience: file\nauth: {bcrypt_cost: 5}\nworkflow:\n  step_timeout: 90s\n")
	c := mustLoad(t, file, "WEFT_AUDIENCE=environment", "WEFT_AUTH_BCRYPT_COST=6", "HOME=/root", "WEFTX_ISSUER=no")
	if c.Issuer != "file" || c.Audience != "environment" || c.Auth.BcryptCost != 6 || c.Durability != "always" {
		t.Errorf("issuer %q, audience %q, bcrypt_cost %d, durability %q", c.Issuer, c.Audience, c.Auth.BcryptCost, c.Durability)
	}
	if c.Workflow.StepTimeout != 90*time.Second {
		t.Errorf("step_timeout is %s", c.Workflow.StepTimeout)
	}
}

func TestEnvironmentValuesAreDecodedByType(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "",
		"WEFT_NATS_REPLICAS=3", "WEFT_TRACING_RATIO=0.25", "WEFT_METRICS_ENABLED=false", "WEFT_DATABASE_MAX_LIFETIME=90s",
		"WEFT_EGRESS_ALLOW=10.0.0.0/8, 192.168.0.0/16,", "WEFT_GATEWAY_CORS_ORIGINS=", "WEFT_AUTH_PEPPER=a=b",
	)
	if c.NATS.Replicas != 3 || c.Tracing.Ratio != 0.25 || c.Metrics.Enabled || c.Database.MaxLifetime != 90*time.Second {
		t.Errorf("replicas %d, ratio %v, metrics %v, max_lifetime %s", c.NATS.Replicas, c.Tracing.Ratio, c.Metrics.Enabled, c.Database.MaxLifetime)
	}
	if !slices.Equal(c.Egress.Allow, []string{"10.0.0.0/8", "192.168.0.0/16"}) || len(c.Gateway.CORSOrigins) != 0 {
		t.Errorf("egress.allow %q, cors_origins %q", c.Egress.Allow, c.Gateway.CORSOrigins)
	}
	if c.Auth.Pepper.Reveal() != "a=b" {
		t.Errorf("the value is cut at its second =: %q", c.Auth.Pepper.Reveal())
	}
}

func TestVariablesSetEntriesOfMaps(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "",
		"WEFT_INTEGRATION_PROVIDERS_GOOGLE_DRIVE_CLIENT_ID=app", "WEFT_INTEGRATION_PROVIDERS_GOOGLE_DRIVE_TIMEOUT=3s",
		"WEFT_INTEGRATION_PROVIDERS_GITLAB_CLIENT_HOSTS=git.example.com,*.git.example.com",
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_CLIENT_ID=own", "WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_REDIRECT_URIS=http://127.0.0.1/a,http://127.0.0.1/b",
	)
	if p := c.Integration.Providers["gitlab"]; !slices.Equal(p.ClientHosts, []string{"git.example.com", "*.git.example.com"}) {
		t.Errorf("the provider gitlab is %+v", p)
	}
	if p := c.Integration.Providers["google_drive"]; p.ClientID != "app" || p.Timeout != 3*time.Second {
		t.Errorf("the provider google_drive is %+v of %v", p, c.Integration.Providers)
	}
	if p := c.Auth.OAuth.Providers["github"]; p.ClientID != "own" || len(p.RedirectURIs) != 2 {
		t.Errorf("the provider github is %+v", p)
	}
}

func TestKeysOfMapsAreUsersOwnInFiles(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, configFile(t, "integration:\n  providers:\n    slack:\n      limits: {default: 7}\n"))
	if got := c.Integration.Providers["slack"].Limits["default"]; got != 7 {
		t.Errorf("the limit is %d of %+v", got, c.Integration.Providers)
	}
}

// wantErrors fails the test unless err has exactly the lines. FILE in a line stands for the file's name.
func wantErrors(t *testing.T, err error, file string, lines ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", lines)
	}
	got := strings.Split(strings.ReplaceAll(err.Error(), file, "FILE"), "\n")
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Errorf("got %q, want %q", got, lines)
	}
}

func TestUnknownSettingsAreReportedByLine(t *testing.T) {
	t.Parallel()
	file := configFile(t, "auth:\n  bcrypt_costs: 4\ncolour: blue\nissuer: a\nissuer: b\nnats: 4222\nintegration:\n  providers:\n    slack:\n      url: x\n")
	_, err := loadConfig(file, nil)
	if err != nil && strings.Contains(err.Error(), "already defined") {
		t.Fatalf("the YAML package reports repeated keys itself: %v", err)
	}
	wantErrors(t, err, file,
		"FILE:2: unknown setting auth.bcrypt_costs", "FILE:3: unknown setting colour", "FILE:5: issuer is set twice",
		"FILE:6: nats must be a mapping", "FILE:10: unknown setting integration.providers.slack.url")
	_, err = loadConfig("", []string{"WEFT_AUTH_BCRYPT_COSTS=4", "WEFT_COLOUR=blue", "WEFT_TEST_POSTGRES=x", "WEFT_CONFIG=x", "WEFT_BENCH_BARE=x"})
	wantErrors(t, err, "FILE", "unknown setting WEFT_AUTH_BCRYPT_COSTS", "unknown setting WEFT_COLOUR")
}

func TestUnreadableFilesAreErrors(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none.yaml"), "no YAML": configFile(t, "a: [1"), "a list": configFile(t, "- 1\n"),
	} {
		if _, err := loadConfig(file, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	mustLoad(t, configFile(t, "# only a comment\n"))
}

func TestUndecodableValuesAreReportedByOrigin(t *testing.T) {
	t.Parallel()
	file := configFile(t, "workflow:\n  step_timeout: 5x\ngateway:\n  cors_origins: [{a: b}]\n")
	_, err := loadConfig(file, []string{"WEFT_AUTH_BCRYPT_COST=many"})
	wantErrors(t, err, file,
		"FILE:2: workflow.step_timeout has an invalid value, and must be a duration such as 90s, 15m or 24h",
		"FILE:4: gateway.cors_origins[0] has an invalid value, and must be a list",
		"WEFT_AUTH_BCRYPT_COST: auth.bcrypt_cost has an invalid value, and must be a whole number")
}

func TestSecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	_, err := loadConfig(configFile(t, "auth:\n  pepper: {hunter2: 1}\n"), nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret of the wrong type: %v", err)
	}
}

func TestInvalidSettingsAreReportedByOrigin(t *testing.T) {
	t.Parallel()
	file := configFile(t, "workflow:\n  cut_after: 0\nauth:\n  bcrypt_cost: 3\nintegration:\n  providers:\n    nobody: {timeout: 1s}\n")
	_, err := loadConfig(file, []string{"WEFT_AUTH_BCRYPT_COST=17", "WEFT_CONSENT_EXPIRY=-1s"})
	wantErrors(t, err, file,
		"FILE:2: workflow.cut_after is 0, and must be at least 1",
		"WEFT_AUTH_BCRYPT_COST: auth.bcrypt_cost is 17, and must be between 4 and 16",
		"FILE:7: integration.providers.nobody is unknown: there is no such provider",
		"WEFT_CONSENT_EXPIRY: consent.expiry is -1s, and must be positive")
}

func TestDatabaseURLOfAnActorOverridesTheSharedOne(t *testing.T) {
	t.Parallel()
	var c Config
	c.Database.URL, c.WorkflowDatabaseURL = mesh.Secret("shared"), mesh.Secret("own")
	if a, w := c.databaseURL("auth"), c.databaseURL("workflow"); a != "shared" || w != "own" {
		t.Errorf("auth uses %q, workflow %q", a, w)
	}
}

func TestPublicURLIsTheGatewaysAddressUnlessSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, listen, want string }{
		{"", "127.0.0.1:9000", "http://127.0.0.1:9000"}, {"", ":9000", "http://127.0.0.1:9000"}, {"", "0.0.0.0:9000", "http://127.0.0.1:9000"},
		{"", "[::]:9000", "http://127.0.0.1:9000"}, {"", "127.0.0.1:0", "http://127.0.0.1:8080"}, {"", "nonsense", "http://127.0.0.1:8080"},
		{"", "weft.example:80", "http://weft.example:80"}, {"https://weft.example", ":9000", "https://weft.example"},
	} {
		config := defaultConfig()
		config.Integration.PublicURL, config.Gateway.Listen = c.set, c.listen
		if got := config.integration().PublicURL; got != c.want {
			t.Errorf("listening on %s with public_url %q: got %s, want %s", c.listen, c.set, got, c.want)
		}
	}
}

func TestFlagsOverrideAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command *cobra.Command
		args    []string
		want    string
	}{
		{upCommand(), nil, "weft-data 127.0.0.1:8080 nats://127.0.0.1:4222 127.0.0.1:4222  0"},
		{upCommand(), []string{"--data", "d", "--http", ":80", "--nats", ":4"}, "d :80 nats://127.0.0.1:4222 :4  0"},
		{upCommand(), []string{"--http", "127.0.0.1:0"}, "weft-data 127.0.0.1:0 nats://127.0.0.1:4222 127.0.0.1:4222  -1"},
		{runCommand(), []string{"--nats", "nats://n", "--keys", "k"}, "weft-data 127.0.0.1:8080 nats://n 127.0.0.1:4222 k 0"},
		{migrateCommand(), []string{"--nats", "nats://n", "--data", ""}, " 127.0.0.1:8080 nats://n 127.0.0.1:4222  0"},
		{adminCreateCommand(), []string{"--data", "d"}, "d 127.0.0.1:8080 nats://127.0.0.1:4222 127.0.0.1:4222  0"},
	} {
		if err := c.command.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		config := defaultConfig()
		overrideAddresses(c.command, &config)
		got := fmt.Sprint(config.Data, " ", config.Gateway.Listen, " ", config.NATS.URL, " ", config.NATS.Listen, " ", config.NATS.Keys, " ", config.Metrics.Port)
		if got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.command.Name(), c.args, got, c.want)
		}
	}
	config := defaultConfig()
	config.Metrics.Port, config.Gateway.Listen = 9999, ":0"
	if overrideAddresses(upCommand(), &config); config.Metrics.Port != 9999 {
		t.Errorf("a metrics port that is set becomes %d", config.Metrics.Port)
	}
}

// TestNoSettingQuotesASecret has the password hunter2 in every setting that takes a text, a URL or a list, in places that make it invalid.
func TestNoSettingQuotesASecret(t *testing.T) {
	t.Parallel()
	values := []string{
		"://u:hunter2@h", "https://u:hunter2@h:port/", "https://u:hunter2@h/p#f", "u:hunter2@h", "ftp://u:hunter2@h", "nats://u:hunter2 @h", "https://h/?token=hunter2&a=1",
		"host=h password=hunter2=", "http://u:hunter2@h/x,http://u:hunter2@h/y",
	}
	for _, setting := range settings.List(nil) {
		variable := strings.ReplaceAll(setting.Variable, "*", "OWN")
		if setting.Type == "text" || setting.Type == "list" || strings.HasSuffix(setting.Path, "database_url") || setting.Path == "database.url" {
			for _, value := range values {
				_, err := loadConfig("", []string{variable + "=" + value, "WEFT_NOTIFICATION_SMTP_HOST=" + value})
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s=%s gives %v", variable, value, err)
				}
			}
		}
		file := configFile(t, yamlOf(setting.Path, "[{hunter2: hunter2}]"))
		if _, err := loadConfig(file, nil); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s of another type gives %v", setting.Path, err)
		}
	}
}

// yamlOf writes a setting as YAML.
func yamlOf(path, value string) string {
	parts := strings.Split(strings.ReplaceAll(path, "*", "own"), ".")
	text := ""
	for _, part := range parts[:len(parts)-1] {
		text += "{" + part + ": "
	}
	return text + "{" + parts[len(parts)-1] + ": " + value + "}" + strings.Repeat("}", len(parts)-1)
}

// TestPrintedConfigurationHasCommentsAndNoPassword reads back what `weft config` prints.
func TestPrintedConfigurationHasCommentsAndNoPassword(t *testing.T) {
	t.Parallel()
	file := configFile(t, "nats: {url: 'nats://u:hunter2@127.0.0.1:4222,nats://h:1'}\ndatabase: {url: 'host=h password=hunter2'}\n")
	got := weft(t, "", "config", "--config", file)
	if got.code != 0 || strings.Contains(got.stdout, "hunter2") || !strings.Contains(got.stdout, "url: nats://***@127.0.0.1:4222,nats://h:1\n") {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(got.stdout, "  # `access_ttl` is the lifetime of access tokens") {
		t.Errorf("there are no comments: %.500s", got.stdout)
	}
	plain := weft(t, "", "config", "--config", configFile(t, "durability: interval"))
	if again := weft(t, "", "config", "--config", configFile(t, plain.stdout)); again.code != 0 || again.stdout != plain.stdout {
		t.Errorf("the output is not a configuration that gives it again: %+v", again)
	}
	for _, variable := range []string{"WEFT_AUTH_ACCESS_TTL=-5m", "WEFT_CONSENT_EXPIRY=-1s"} {
		if _, err := loadConfig("", []string{variable}); err == nil || !strings.Contains(err.Error(), "and must be") {
			t.Errorf("%s: %v", variable, err)
		}
	}
}
