package egress

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// HostAllowed reports whether u's host is one of patterns. A pattern is `host`, `host:port` or
// `*.domain`, which means any name below domain and not domain itself. Without a port a pattern means the
// scheme's own (443 for https, 80 for http). Case and a trailing dot do not matter.
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

func origin(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(canonicalHost(u.Hostname()), portOf(u))
}

// bare is u without its query, which may carry a key.
func bare(u *url.URL) string {
	stripped := *u
	stripped.RawQuery, stripped.ForceQuery, stripped.User = "", false, nil
	return stripped.String()
}

// withoutKeys drops the named parameters and keeps the others as they are written.
func withoutKeys(raw string, keys []string) string {
	if raw == "" || len(keys) == 0 {
		return raw
	}
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && slices.Contains(keys, plain) {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// location is where a redirect points to, or nil.
func location(answer *http.Response) *url.URL {
	if answer.StatusCode < 300 || answer.StatusCode > 399 {
		return nil
	}
	value := answer.Header.Get("Location")
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil {
		return nil
	}
	return u
}

var errTooLarge = errors.New("the answer is larger than allowed")

func readCapped(answer *http.Response, limit int64) ([]byte, error) {
	defer answer.Body.Close()
	if answer.ContentLength > limit {
		return nil, errTooLarge
	}
	var buffer bytes.Buffer
	if answer.ContentLength > 0 {
		buffer.Grow(int(answer.ContentLength) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(answer.Body, limit+1))
	if n > limit {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// discard reads a little of a body that nobody wants, so that its connection can be used again.
func discard(answer *http.Response) {
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	_ = answer.Body.Close()
}
