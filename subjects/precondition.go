package subjects

import "strings"

// Precondition makes a change conditional on the resource's version (RFC 9110 §13.1.1). Embed it in a request.
type Precondition struct {
	IfMatch string `json:"if_match,omitempty" in:"header:If-Match" maxLength:"512" doc:"The change is made only if the resource's current ETag is in this list, or if it is *; precondition_failed otherwise. A resource's ETag is its version in quotes, such as \"3\"."`
}

// VersionTag returns the strong entity tag of a version (RFC 9110 §8.8.3).
func VersionTag(version string) string { return `"` + version + `"` }

// Conditional reports whether the request has a precondition.
func (p Precondition) Conditional() bool { return p.IfMatch != "" }

// Check reports whether the list in If-Match names the tag of a version, by strong comparison: a weak tag matches none. The error is
// CodePreconditionFailed, or CodeInvalid if the list is not well-formed. A handler calls it with the version that its
// UPDATE … WHERE version = ? names, or under the row's lock.
func (p Precondition) Check(version string) error {
	if !p.Conditional() || strings.TrimSpace(p.IfMatch) == "*" {
		return nil
	}
	matched, ok := findTag(p.IfMatch, VersionTag(version), false)
	switch {
	case !ok:
		return InvalidField("if_match", `expected * or a list of entity tags, such as "3"`)
	case !matched:
		return ErrPreconditionFailed
	}
	return nil
}

// ErrPreconditionFailed is the error of a conditional change whose resource has another version, by then or already.
var ErrPreconditionFailed = &Error{
	Code: CodePreconditionFailed, Reason: ReasonVersionMismatch, Detail: "the resource has another version than if_match names; read it again",
}

// MatchesTag reports whether a list of entity tags, or *, names a tag by weak comparison, as If-None-Match compares (RFC 9110 §13.1.2). A
// list that is not well-formed matches what precedes its fault.
func MatchesTag(list, tag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	matched, _ := findTag(list, strings.TrimPrefix(tag, "W/"), true)
	return matched
}

// findTag looks for a strong tag in a list of entity tags. ok reports whether the list is well-formed: a tag may contain commas, and no
// quote. Empty items are allowed (RFC 9110 §5.6.1.2).
func findTag(list, tag string, weak bool) (matched, ok bool) {
	any := false
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return matched, any
		}
		rest, isWeak := strings.CutPrefix(list, "W/")
		if rest == "" || rest[0] != '"' {
			return matched, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 || !opaque(rest[1:1+end]) {
			return matched, false
		}
		matched = matched || (weak || !isWeak) && sameTag(rest[1:end+1], tag)
		any = true
		list = strings.TrimLeft(rest[end+2:], " \t")
		if list != "" && list[0] != ',' {
			return matched, false
		}
	}
}

// CompressedTagSuffixes end the opaque part of the ETag of a compressed body, which is of the same version as the body without the suffix
// (RFC 9110 §8.8.3.3).
var CompressedTagSuffixes = []string{"-gzip", "-zstd"}

// sameTag reports whether the opaque part of a tag is that of a strong tag, or of a compressed body of it.
func sameTag(opaque, tag string) bool {
	tag = strings.Trim(tag, `"`)
	if opaque == tag {
		return true
	}
	for _, suffix := range CompressedTagSuffixes {
		if identity, is := strings.CutSuffix(opaque, suffix); is && identity == tag {
			return true
		}
	}
	return false
}

// opaque reports whether a text may be in the quotes of an entity tag: etagc of RFC 9110 §8.8.3.
func opaque(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
