package mesh

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// secretKeyword finds the value of a keyword that names a secret, as in a connection string.
var secretKeyword = regexp.MustCompile(`(?is)\b(\w*(?:pass|pwd|secret|token|key)\w*\s*=).*`)

// MaskURL masks what may be a secret in a URL, address or connection string: everything before the last @, except a scheme, everything
// after a ?, and everything after a keyword such as password=. A text without them is returned as it is.
func MaskURL(text string) string {
	text = secretKeyword.ReplaceAllString(text, "${1}"+masked)
	begin := 0
	if i := strings.Index(text, "://"); i >= 0 {
		begin = i + len("://")
	}
	if i := strings.LastIndexByte(text, '@'); i > begin {
		text = text[:begin] + masked + text[i:]
	}
	if i := strings.IndexByte(text[begin:], '?'); i >= 0 {
		text = text[:begin+i+1] + masked
	}
	return text
}

// MaskURLs is MaskURL for each of a comma-separated list.
func MaskURLs(list string) string {
	items := strings.Split(list, ",")
	for i, item := range items {
		items[i] = MaskURL(item)
	}
	return strings.Join(items, ",")
}

// MaskUserinfo masks the user and password of each URL of a comma-separated list, and nothing else.
func MaskUserinfo(list string) string {
	items := strings.Split(list, ",")
	for i, item := range items {
		scheme, rest, isURL := strings.Cut(item, "://")
		if at := strings.LastIndexByte(rest, '@'); isURL && at >= 0 {
			items[i] = scheme + "://" + masked + rest[at:]
		}
	}
	return strings.Join(items, ",")
}

// CheckServers returns an error unless the text is a comma-separated list of addresses of NATS servers. It does not show the text.
func CheckServers(list string) error {
	for server := range strings.SplitSeq(list, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("must have URLs such as nats://127.0.0.1:4222, separated by commas (not shown, they may hold a password)")
		}
	}
	return nil
}
