package gateway

import (
	"strconv"
	"strings"
)

// acceptable reports whether an Accept header accepts one of the types (RFC 9110 §12.5.1).
func acceptable(accept, produces []string) bool {
	if accept[0] == "*/*" || accept[0] == produces[0] {
		return true
	}
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		if zeroQuality(params) {
			continue
		}
		media = strings.ToLower(strings.TrimSpace(media))
		for _, p := range produces {
			kind, _, _ := strings.Cut(p, "/")
			base, _, _ := strings.Cut(p, ";")
			if media == "*/*" || media == base || media == kind+"/*" {
				return true
			}
		}
	}
	return strings.TrimSpace(strings.Join(accept, "")) == ""
}

// zeroQuality reports whether the parameters of a media range contain q=0, which means not acceptable.
func zeroQuality(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			return err == nil && q == 0
		}
	}
	return false
}
