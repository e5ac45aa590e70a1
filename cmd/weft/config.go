package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
)

// Config is everything that can be set, from a YAML file or, key by key, from the environment:
// auth.bcrypt_cost is WEFT_AUTH_BCRYPT_COST. Every key has a default that works.
type Config struct {
	// Data is the folder of everything that weft keeps: databases, JetStream, keys.
	Data string `koanf:"data"`
	// Durability is "always" (every acknowledged write is on disk) or "interval".
	Durability string `koanf:"durability"`
	// Issuer and Audience are those of access tokens.
	Issuer   string `koanf:"issuer"`
	Audience string `koanf:"audience"`

	NATS     NATSConfig     `koanf:"nats"`
	Database DatabaseConfig `koanf:"database"`
	// One database per actor: these stand before database.url.
	AuthDatabaseURL         mesh.Secret `koanf:"auth_database_url"`
	IntegrationDatabaseURL  mesh.Secret `koanf:"integration_database_url"`
	WorkflowDatabaseURL     mesh.Secret `koanf:"workflow_database_url"`
	ConsentDatabaseURL      mesh.Secret `koanf:"consent_database_url"`
	NotificationDatabaseURL mesh.Secret `koanf:"notification_database_url"`

	Log     LogConfig     `koanf:"log"`
	Metrics MetricsConfig `koanf:"metrics"`
	Tracing TracingConfig `koanf:"tracing"`
	Egress  EgressConfig  `koanf:"egress"`

	Auth         auth.Config         `koanf:"auth"`
	Integration  integration.Config  `koanf:"integration"`
	Workflow     workflow.Config     `koanf:"workflow"`
	Consent      consent.Config      `koanf:"consent"`
	Notification notification.Config `koanf:"notification"`
	Gateway      gateway.Config      `koanf:"gateway"`
}

// NATSConfig says where the mesh is.
type NATSConfig struct {
	// Listen is the embedded server's address, for `weft up`; port 0 takes a free one.
	Listen string `koanf:"listen"`
	// Monitor is the address of the embedded server's HTTP monitoring port; empty opens none.
	Monitor string `koanf:"monitor"`
	// URL is the server of `weft run`; comma-separated for a cluster.
	URL string `koanf:"url"`
	// Keys is the folder of the users' nkey seeds; <data>/nats/keys unless set.
	Keys string `koanf:"keys"`
	// Replicas of streams and buckets: 1, or 3 on a cluster.
	Replicas int `koanf:"replicas"`
}

// DatabaseConfig is what the actors' databases share.
type DatabaseConfig struct {
	// URL is a PostgreSQL DSN, each actor then has a schema; empty means SQLite files in the data folder.
	URL         mesh.Secret   `koanf:"url"`
	MaxOpen     int           `koanf:"max_open"`
	MaxIdle     int           `koanf:"max_idle"`
	MaxLifetime time.Duration `koanf:"max_lifetime"`
}

// LogConfig says what is logged: JSON to standard error.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `koanf:"level"`
}

// MetricsConfig says where Prometheus scrapes.
type MetricsConfig struct {
	Enabled bool `koanf:"enabled"`
	// Host is the address to listen on; the ports are 9091 to 9096 by actor, 9096 for all in one process.
	Host string `koanf:"host"`
	// Port overrides the process's port; 0 takes the one of the list, -1 a free one.
	Port int `koanf:"port"`
	// Profiling serves Go's profiles under /debug/pprof/ beside the metrics.
	Profiling bool `koanf:"profiling"`
}

// TracingConfig says where traces go.
type TracingConfig struct {
	// OTLP is the URL of an OTLP/HTTP collector; empty exports nothing.
	OTLP string `koanf:"otlp"`
	// Ratio is the share of new traces that are sampled.
	Ratio float64 `koanf:"ratio"`
}

// EgressConfig is the guard of outbound calls.
type EgressConfig struct {
	// Allow are address ranges let through besides public ones, as CIDR.
	Allow []string `koanf:"allow"`
	// AllowHTTP lets calls without TLS through.
	AllowHTTP bool `koanf:"allow_http"`
}

// DefaultConfig works on a laptop as it is.
func DefaultConfig() Config {
	c := Config{
		Data: "weft-data", Durability: actors.DurabilityAlways,
		Issuer: "weft", Audience: "weft",
		NATS:     NATSConfig{Listen: "127.0.0.1:4222", URL: "nats://127.0.0.1:4222", Replicas: 1},
		Database: DatabaseConfig{MaxOpen: 30, MaxIdle: 10, MaxLifetime: 5 * time.Minute},
		Log:      LogConfig{Level: "info"},
		Metrics:  MetricsConfig{Enabled: true, Host: "127.0.0.1"},
		Tracing:  TracingConfig{Ratio: 1},
		Auth:     auth.DefaultConfig(), Integration: integration.DefaultConfig(),
		Workflow: workflow.DefaultConfig(), Consent: consent.DefaultConfig(),
		Notification: notification.DefaultConfig(), Gateway: gateway.DefaultConfig(),
	}
	c.Integration.PublicURL = "" // see Config.integration
	return c
}

// integration is the integration actor's part. Where nothing says how providers reach the gateway, it is where the gateway
// listens; a port that is found only then (0) nobody outside could be told of in any case.
func (c Config) integration() integration.Config {
	own := c.Integration
	if own.PublicURL != "" {
		return own
	}
	own.PublicURL = integration.DefaultConfig().PublicURL
	host, port, err := net.SplitHostPort(c.Gateway.Listen)
	if err != nil || port == "0" {
		return own
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	own.PublicURL = "http://" + net.JoinHostPort(host, port)
	return own
}

// LoadConfig lays the file (where one is named) and the environment over the defaults. It refuses a key
// that it does not know, by name and line.
func LoadConfig(file string, environ []string) (Config, error) {
	k := koanf.New(".")
	defaults := DefaultConfig()
	if err := k.Load(structs.Provider(defaults, "koanf"), nil); err != nil {
		return Config{}, fmt.Errorf("reading the defaults: %w", err)
	}
	known := knownKeys(defaults)
	if file != "" {
		values, err := readConfigFile(file, known)
		if err != nil {
			return Config{}, err
		}
		if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
			return Config{}, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	values, err := known.fromEnvironment(environ)
	if err != nil {
		return Config{}, err
	}
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w", err)
	}
	var c Config
	if err := k.Unmarshal("", &c); err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return c, c.check()
}

func (c Config) check() error {
	var errs []error
	if c.Durability != actors.DurabilityAlways && c.Durability != actors.DurabilityInterval {
		errs = append(errs, fmt.Errorf("durability: %q is neither %q nor %q", c.Durability, actors.DurabilityAlways, actors.DurabilityInterval))
	}
	if c.NATS.Replicas < 1 || c.NATS.Replicas > 5 {
		errs = append(errs, fmt.Errorf("nats.replicas: %d is not 1 to 5", c.NATS.Replicas))
	}
	if c.Issuer == "" || c.Audience == "" {
		errs = append(errs, errors.New("issuer and audience: must not be empty"))
	}
	if c.Tracing.Ratio < 0 || c.Tracing.Ratio > 1 {
		errs = append(errs, fmt.Errorf("tracing.ratio: %v is not 0 to 1", c.Tracing.Ratio))
	}
	return errors.Join(errs...)
}

// readConfigFile reads a YAML file into key paths. Every unknown or repeated key is reported with its line.
func readConfigFile(file string, known keySet) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	values := map[string]any{}
	if len(root.Content) == 0 {
		return values, nil
	}
	return values, walkConfig(file, root.Content[0], "", known, values)
}

func walkConfig(file string, node *yaml.Node, path string, known keySet, values map[string]any) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: %s is not a mapping", file, node.Line, path)
	}
	var errs []error
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		full := key.Value
		if path != "" {
			full = path + "." + key.Value
		}
		switch {
		case known.section(full):
			errs = append(errs, walkConfig(file, value, full, known, values))
		case known.leaf(full):
			if _, twice := values[full]; twice {
				errs = append(errs, fmt.Errorf("%s:%d: %s is set twice", file, key.Line, full))
			}
			var v any
			if err := value.Decode(&v); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %s: %w", file, value.Line, full, err))
			}
			values[full] = v
		default:
			errs = append(errs, fmt.Errorf("%s:%d: unknown setting %s", file, key.Line, full))
		}
	}
	return errors.Join(errs...)
}

// databaseURL is an actor's own DSN, or the shared one.
func (c Config) databaseURL(actor string) string {
	own := map[string]mesh.Secret{
		"auth": c.AuthDatabaseURL, "integration": c.IntegrationDatabaseURL, "workflow": c.WorkflowDatabaseURL,
		"consent": c.ConsentDatabaseURL, "notification": c.NotificationDatabaseURL,
	}[actor]
	if own != "" {
		return own.Reveal()
	}
	return c.Database.URL.Reveal()
}

// configOf loads the configuration of a command's --config flag and the environment.
func configOf(cmd *cobra.Command) (Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return Config{}, err
	}
	config, err := LoadConfig(file, os.Environ())
	if err != nil {
		return Config{}, usageError{err}
	}
	return config, nil
}
