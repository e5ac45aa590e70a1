package manifest

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// OAuthAddress is the address of one of a method's OAuth endpoints for the settings of a connection.
type OAuthAddress struct {
	URL *url.URL
	// Literal means that the URL is a literal in the manifest.
	Literal bool
	// Settings means that a setting has decided scheme, host or port. Without it they are the manifest's: the URL is a literal, or has
	// the same origin as without any settings.
	Settings bool
}

// OAuthAddresses returns the addresses of a method's OAuth endpoints for settings, each of them once; none for a method without.
func (m *AuthMethod) OAuthAddresses(settings map[string]any) ([]OAuthAddress, error) {
	if m.oauth == nil {
		return nil, nil
	}
	var addresses []OAuthAddress
	for _, t := range []*tree{m.oauth.authorizeURL, m.oauth.tokenURL, m.oauth.refreshURL, m.oauth.revokeURL} {
		if t == nil {
			continue
		}
		u, err := m.address(t, settings)
		if err != nil {
			return nil, m.buildError("token", err)
		}
		usual, err := m.address(t, nil)
		addresses = append(addresses, OAuthAddress{URL: u, Literal: t.expr == nil, Settings: t.expr != nil && (err != nil || originOf(usual) != originOf(u))})
	}
	return addresses, nil
}

// Destination is where and how a connection's credentials are sent. Two connections with equal destinations send them to the same
// servers, at the same place of a request.
type Destination struct {
	// API are the origins of the base URLs and the hosts to which calls are confined. OAuth are the addresses of the OAuth endpoints.
	API, OAuth string
	// Parameter is the header or query parameter that carries the credentials.
	Parameter string
}

// Destination returns where the credentials of a connection are sent. What cannot be evaluated is no place.
func (p *Provider) Destination(conn Connection) Destination {
	var d Destination
	method, ok := p.AuthMethod(conn.Auth)
	root, err := requestRoot(conn, Call{})
	if !ok || err != nil {
		return d
	}
	s := newScope(root, maxRequestValue)
	var places []string
	add := func(text string, err error) {
		u, invalid := url.Parse(text)
		if err == nil && invalid == nil {
			places = append(places, originOf(u))
		}
	}
	if conn.BaseURL != "" {
		add(conn.BaseURL, nil)
	} else {
		add(p.baseURL.evalString(s))
		for _, name := range slices.Sorted(maps.Keys(p.baseURLs)) {
			add(p.baseURLs[name].evalString(s))
		}
		if hosts, err := p.hostPatterns(s); err == nil {
			places = append(places, strings.ToLower(strings.Join(hosts, ",")))
		}
	}
	d.API = strings.Join(places, " ")
	if method.name != nil {
		name, _ := method.name.evalString(s)
		d.Parameter = method.in + " " + strings.ToLower(name)
		if method.in == "query" {
			d.Parameter = method.in + " " + name
		}
	}
	if addresses, err := method.OAuthAddresses(conn.Settings); err == nil {
		for _, address := range addresses {
			d.OAuth += originOf(address.URL) + address.URL.RequestURI() + " "
		}
	}
	return d
}

// originOf returns the origin of a URL (RFC 6454 §4): scheme, host and port, in one spelling.
func originOf(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)])
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(host, port)
}
