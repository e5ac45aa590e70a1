package integration

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// foreignHostError is the refusal to use the operator's OAuth client at a host that a user's settings have chosen.
type foreignHostError struct{ provider, host string }

func (e *foreignHostError) Error() string {
	return fmt.Sprintf("the operator's OAuth client of %s may not be used at %s", e.provider, e.host)
}

// coded is the error for the caller. field is the request's field that names the user's own client.
func (e *foreignHostError) coded(field string) error {
	failed := subjects.InvalidField(field,
		"is required: %s, only at the hosts in integration.providers.%s.client_hosts; register a client of your own there", e.Error(), e.provider)
	failed.Cause = e
	return failed
}

// clientOf is the OAuth client of a connection's tokens: the connection's own, or the operator's; an empty one if there is neither.
// The error is a *foreignHostError, or a *manifest.BuildError for settings that make no address.
//
// The operator's client is bound to hosts: its secret, and codes and refresh tokens with it, are sent only to the operator's OAuthURL,
// to where the manifest sends them without any settings, or, if the operator has set ClientHosts, to those hosts instead of the
// manifest's. Otherwise any user could name a server of his own in the settings and be sent the secret (RFC 9700 §4.4). A user's own
// client is used wherever the user's settings say.
func (t *tokenClient) clientOf(
	p *manifest.Provider, method *manifest.AuthMethod, settings, credentials map[string]any,
) (manifest.Client, error) {
	if id, _ := credentials["client_id"].(string); id != "" {
		secret, _ := credentials["client_secret"].(string)
		return manifest.Client{ID: id, Secret: secret}, nil
	}
	own := t.config.Providers[p.ID]
	if own.ClientID == "" {
		return manifest.Client{}, nil
	}
	addresses, err := method.OAuthAddresses(settings)
	if err != nil {
		return manifest.Client{}, err
	}
	for _, address := range addresses {
		if !own.bindsClientTo(address) {
			return manifest.Client{}, &foreignHostError{provider: p.ID, host: address.URL.Host}
		}
	}
	return manifest.Client{ID: own.ClientID, Secret: own.ClientSecret.Reveal()}, nil
}

// bindsClientTo reports whether the operator's client may be used at an address.
func (c ProviderConfig) bindsClientTo(address manifest.OAuthAddress) bool {
	switch {
	case c.OAuthURL != "" || address.Literal: // the request goes to the operator's or the manifest's host
		return true
	case len(c.ClientHosts) > 0:
		return egress.HostAllowed(c.ClientHosts, address.URL)
	}
	return !address.Settings
}

// checkClientHosts checks ProviderConfig.ClientHosts.
func checkClientHosts(setting string, hosts []string) error {
	for _, host := range hosts {
		u, err := url.Parse("https://" + host)
		if err != nil || u.Host != host || u.Hostname() == "" || strings.Contains(strings.TrimPrefix(host, "*."), "*") {
			return mesh.InvalidSetting(setting, "has %q, and must have hosts such as example.com, example.com:8443 or *.example.com", host)
		}
	}
	return nil
}
