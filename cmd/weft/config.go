package main

import (
	"cmp"
	"fmt"
	"net"

	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh"
)

// Config has all settings, and what follows from several of them.
type Config struct{ settings.Config }

// LogConfig configures the log.
type LogConfig = settings.LogConfig

// defaultConfig returns the default settings, which suit a local installation.
func defaultConfig() Config { return Config{settings.Default()} }

// integration returns the settings of the integration actor. Unless integration.public_url is set, providers are expected to
// reach the gateway at its listen address. With port 0 that address is not known in advance, and the default remains.
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
	own.PublicURL = c.gatewayScheme() + "://" + net.JoinHostPort(host, port)
	return own
}

// notification returns the settings of the notification actor. Links in mail have the integration actor's public URL unless
// notification.public_url is set.
func (c Config) notification() notification.Config {
	own := c.Notification
	own.PublicURL = cmp.Or(own.PublicURL, c.integration().PublicURL)
	return own
}

// consent returns the settings of the consent actor. Links in receipts have the integration actor's public URL unless consent.public_url is set.
func (c Config) consent() consent.Config {
	own := c.Consent
	own.PublicURL = cmp.Or(own.PublicURL, c.integration().PublicURL)
	return own
}

// gatewayScheme returns the scheme of the gateway's URLs.
func (c Config) gatewayScheme() string {
	if c.Gateway.TLSCert != "" {
		return "https"
	}
	return "http"
}

// limitsText describes the gateway's general rate limits.
func (c Config) limitsText() string {
	l := c.Gateway.Limits
	if !l.Enabled {
		return "no rate limits"
	}
	return fmt.Sprintf("%d requests a minute from an address, %d of a user, %d in all (gateway.limits)", l.PerIP, l.PerUser, l.Global)
}

// databaseURL returns the DSN of an actor's database: its own or the shared one.
func (c Config) databaseURL(actor string) string {
	urls := c.databaseURLs()
	return cmp.Or(urls[actor+"_database_url"], urls["database.url"]).Reveal()
}

// databaseURLs returns the connection strings of databases by setting.
func (c Config) databaseURLs() map[string]mesh.Secret {
	return map[string]mesh.Secret{
		"database.url": c.Database.URL, "auth_database_url": c.AuthDatabaseURL, "integration_database_url": c.IntegrationDatabaseURL,
		"workflow_database_url": c.WorkflowDatabaseURL, "consent_database_url": c.ConsentDatabaseURL,
		"notification_database_url": c.NotificationDatabaseURL,
	}
}
