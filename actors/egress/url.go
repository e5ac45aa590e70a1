package egress

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// HostAllowed reports whether u's host matches one of patterns. A pattern is `host`, `host:port` or `*.domain`; the
// last matches every subdomain of domain, but not domain itself. A pattern without a port matches the default port of
// u's scheme (443 for https, 80 for http). Case and a trailing dot are ignored.
func HostAllowed(patterns []string, u *url.URL) bool {
	host, port := canonicalHost(u.Hostname()), portOf(u)
	for _, pattern := range patterns {
		name, want := pattern, defaultPort(u.Scheme)
		if h, p, err := net.SplitHostPort(pattern); err == nil {
			name, want = h, p
		}
		if port != want {
			continue
		}
		name = canonicalHost(strings.Trim(name, "[]"))
		if domain, ok := strings.CutPrefix(name, "*."); ok {
			if label, found := strings.CutSuffix(host, "."+domain); found && label != "" {
				return true
			}
			continue
		}
		if host == name {
			return true
		}
	}
	return false
}

func canonicalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func portOf(u *url.URL) string { return cmp.Or(u.Port(), defaultPort(u.Scheme)) }

// origin returns the origin of u (RFC 6454 §4).
func origin(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(canonicalHost(u.Hostname()), portOf(u))
}

// withoutQuery returns u without its query and user information, which may contain secrets.
func withoutQuery(u *url.URL) string {
	stripped := *u
	stripped.RawQuery, stripped.ForceQuery, stripped.User = "", false, nil
	return stripped.String()
}

// withoutParameters removes the named parameters from a raw query. The others keep their encoding.
func withoutParameters(raw string, names []string) string {
	if raw == "" || len(names) == 0 {
		return raw
	}
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && slices.Contains(names, decoded) {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// location returns the target of a redirect, or nil if the response is none.
func location(response *http.Response) *url.URL {
	if response.StatusCode < 300 || response.StatusCode > 399 {
		return nil
	}
	value := response.Header.Get("Location")
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil {
		return nil
	}
	return u
}
