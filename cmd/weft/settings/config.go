// Package settings declares every setting of weft: name, type, default and meaning. Command weft reads and checks them;
// weft-generate documents them from the comments here and on the Config of each actor and of the gateway.
package settings

import (
	"time"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
)

// Config has all settings. A YAML file or an environment variable sets them: auth.bcrypt_cost is WEFT_AUTH_BCRYPT_COST. Every
// setting has a working default.
type Config struct {
	// Data is the directory of all persistent data: databases, JetStream, keys.
	Data string `koanf:"data"`
	// Durability is "always" (writes are synced to disk before they are acknowledged) or "interval" (they are synced periodically).
	Durability string `koanf:"durability"`
	// Issuer and Audience are the claims iss and aud of access tokens (RFC 7519, section 4.1).
	Issuer   string `koanf:"issuer"`
	Audience string `koanf:"audience"`

	NATS     NATSConfig     `koanf:"nats"`
	Database DatabaseConfig `koanf:"database"`
	// AuthDatabaseURL, IntegrationDatabaseURL, WorkflowDatabaseURL, ConsentDatabaseURL and NotificationDatabaseURL override
	// database.url, each for one actor.
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
	Edge         edge.Config         `koanf:"edge"`
}

// NATSConfig configures the NATS server and the connections to it.
type NATSConfig struct {
	// Listen is the address of the embedded server of `weft up`; port 0 picks a free port.
	Listen string `koanf:"listen"`
	// Monitor is the address of the embedded server's HTTP monitoring port; empty disables it.
	Monitor string `koanf:"monitor"`
	// URL is the server that `weft run` and `weft migrate` connect to; comma-separated URLs for a cluster.
	URL string `koanf:"url"`
	// Keys is the directory of the users' nkey seeds; empty means `nats/keys` in the data directory.
	Keys string `koanf:"keys"`
	// Replicas is the number of replicas of each stream and bucket, 1 to 5; use 3 on a cluster.
	Replicas int `koanf:"replicas"`
	// LeafListen is the address on which the embedded server of `weft up` accepts leaf connections of edge nodes, such as 0.0.0.0:7422; empty
	// accepts none.
	LeafListen string `koanf:"leaf_listen"`

	TLS NATSTLSConfig `koanf:"tls"`
}

// NATSTLSConfig names the PEM files of TLS with NATS. They are read again when they are replaced.
type NATSTLSConfig struct {
	// CA are the authorities of the NATS servers' certificates: only servers with such a certificate are accepted, and never without TLS. Empty
	// means `ca.crt` in the directory of nats.keys, which `weft nats-init --cluster` writes; without that file, the system's authorities are used
	// and nats.url decides with `tls://`.
	CA string `koanf:"ca"`
	// Cert and Key are the certificate that weft's processes present to NATS servers that demand one, and its key. Empty means `client.crt`
	// and `client.key` in the directory of nats.keys, if they exist.
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
	// ListenCert and ListenKey are the certificate of the embedded server of `weft up` and its key; empty means that it serves without TLS.
	ListenCert string `koanf:"listen_cert"`
	ListenKey  string `koanf:"listen_key"`
	// ListenClientCA are the authorities of the certificates that the embedded server demands of clients; empty means that it demands none.
	ListenClientCA string `koanf:"listen_client_ca"`
}

// DatabaseConfig configures the databases of all actors.
type DatabaseConfig struct {
	// URL is a connection string of PostgreSQL, where each actor has a schema of its own: `postgres://…` or libpq keywords, with PG*
	// variables for what it lacks; or sqlite:PATH. Empty means SQLite files in the data directory.
	URL mesh.Secret `koanf:"url"`
	// MaxOpen bounds the connections of a process to a PostgreSQL, which its actors share, MaxLifetime the age of a connection. Connections
	// to PostgreSQL that load has needed are closed when they have not been needed for IdleTime, except MaxIdle of them.
	MaxOpen     int           `koanf:"max_open"`
	MaxIdle     int           `koanf:"max_idle"`
	IdleTime    time.Duration `koanf:"idle_time"`
	MaxLifetime time.Duration `koanf:"max_lifetime"`
}

// LogConfig configures the log, which goes to standard error.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `koanf:"level"`
	// Format is json, text, or auto: text on a terminal, otherwise json.
	Format string `koanf:"format"`
}

// MetricsConfig configures the endpoint that Prometheus scrapes, which also answers /healthz and /readyz.
type MetricsConfig struct {
	// Enabled serves metrics and the health of the process.
	Enabled bool `koanf:"enabled"`
	// Host is the address to listen on.
	Host string `koanf:"host"`
	// Port is the port to listen on; -1 picks a free port. 0 is 9091 auth, 9092 integration, 9093 workflow, 9094 consent, 9095
	// notification, 9096 gateway; of a process with several of them the gateway's, or else the first; and a free port if it is
	// in use.
	Port int `koanf:"port"`
	// Profiling also serves Go's profiles under /debug/pprof/.
	Profiling bool `koanf:"profiling"`
}

// TracingConfig configures OpenTelemetry traces.
type TracingConfig struct {
	// OTLP is the URL of a collector of OpenTelemetry traces over HTTP; empty disables the export.
	OTLP string `koanf:"otlp"`
	// Ratio is the share of new traces that are sampled, 0 to 1.
	Ratio float64 `koanf:"ratio"`
}

// EgressConfig restricts outbound calls.
type EgressConfig struct {
	// Allow has CIDR ranges that calls may reach in addition to public addresses.
	Allow []string `koanf:"allow"`
	// AllowHTTP permits calls without TLS.
	AllowHTTP bool `koanf:"allow_http"`
}

// Default returns the default settings, which suit a local installation.
func Default() Config {
	c := Config{
		Data: "weft-data", Durability: database.DurabilityAlways,
		Issuer: "weft", Audience: "weft",
		NATS:     NATSConfig{Listen: "127.0.0.1:4222", URL: "nats://127.0.0.1:4222", Replicas: 1},
		Database: DatabaseConfig{MaxOpen: 30, MaxIdle: 10, IdleTime: time.Minute, MaxLifetime: 5 * time.Minute},
		Log:      LogConfig{Level: "info", Format: "auto"},
		Metrics:  MetricsConfig{Enabled: true, Host: "127.0.0.1"},
		Tracing:  TracingConfig{Ratio: 1},
		Auth:     auth.DefaultConfig(), Integration: integration.DefaultConfig(),
		Workflow: workflow.DefaultConfig(), Consent: consent.DefaultConfig(),
		Notification: notification.DefaultConfig(), Gateway: gateway.DefaultConfig(),
		Edge: edge.DefaultConfig(),
	}
	c.Integration.PublicURL = "" // derived from the gateway's address
	return c
}
