package auth

import (
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones for containers without zoneinfo files
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"github.com/weftmesh/weft/subjects"
)

// user is an account.
type user struct {
	ID            string
	Email         string
	EmailVerified bool
	// PasswordHash is empty if the account has no password.
	PasswordHash string
	// DuplicateRegistration is set if the account was registered again before it was verified: its password may be
	// another person's.
	DuplicateRegistration bool
	FirstName             string
	LastName              string
	AvatarURL             string
	Locale                string
	TimeZone              string
	Roles                 []string
	Disabled              bool
	// SecondFactor is the account's own rule: factorDefault, factorRequired or factorOptional.
	SecondFactor string
	// Epoch increases when all sessions of the account end. Sessions and pending sign-ins of an older epoch are
	// invalid.
	Epoch int64
	// ErasureID is the erasure of the unverified account that this one replaced, until it has settled: before the old
	// account is erased everywhere, this one has no session.
	ErasureID string
	CreatedAt time.Time
	UpdatedAt time.Time
	// Version counts the changes of the account, from 1.
	Version int64
}

// tag returns the version as preconditions compare it.
func (u user) tag() string { return strconv.FormatInt(u.Version, 10) }

const (
	defaultLocale   = "en"
	defaultTimeZone = "UTC"
)

func (u user) profile() subjects.Profile {
	return subjects.Profile{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, FirstName: u.FirstName, LastName: u.LastName,
		AvatarURL: u.AvatarURL, Locale: u.Locale, TimeZone: u.TimeZone, Roles: u.Roles, CreatedAt: u.CreatedAt, Version: u.Version,
	}
}

// ownWords returns the words of the account's address and names, in lower case, of which a password must not consist.
func (u user) ownWords() []string {
	local, domain, _ := strings.Cut(u.Email, "@")
	host, _, _ := strings.Cut(domain, ".")
	words := []string{u.Email, local, domain, host, "weft"}
	split := func(r rune) bool { return strings.ContainsRune(" ._+-", r) }
	for _, s := range []string{local, u.FirstName, u.LastName} {
		words = append(words, strings.FieldsFunc(strings.ToLower(s), split)...)
	}
	return words
}

// maxEmail is the maximum length of an address (RFC 5321 §4.5.3.1.3).
const maxEmail = 254

// normalEmail returns the form of an address by which accounts are found and to which mail is sent: lower case, NFC, with the
// domain in ASCII (the A-labels of RFC 5890), which every mail server accepts. It refuses anything but a plain address, such as a
// display name, quotes or a comment.
func normalEmail(s string) (string, error) {
	s = norm.NFC.String(strings.TrimSpace(s))
	address, err := mail.ParseAddress(s)
	if err != nil || address.Name != "" || address.Address != s || strings.ContainsAny(s, "\"\\ ") {
		return "", errEmail()
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if !isASCII(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", errEmail()
		}
	}
	s = strings.ToLower(local + "@" + domain)
	if len(s) > maxEmail {
		return "", errEmail()
	}
	return s, nil
}

func errEmail() error { return subjects.InvalidField("email", "is not a plain e-mail address") }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// cleanName trims a name. It refuses control and invisible formatting characters, except the joiners that some scripts need.
func cleanName(field, s string) (string, error) {
	s = norm.NFC.String(strings.TrimSpace(s))
	if !utf8.ValidString(s) || visibleName(s) != s {
		return "", subjects.InvalidField(field, "has control or invisible characters")
	}
	return s, nil
}

// Joiners, which are invisible but change how some scripts are written.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// visibleName returns a name without control and invisible formatting characters. A joiner is kept where the rule CONTEXTJ of IDNA
// (RFC 5892, appendices A.1 and A.2) allows it, such as in Persian and Sinhala names.
func visibleName(s string) string {
	s = norm.NFC.String(strings.TrimSpace(strings.ToValidUTF8(s, "")))
	words := strings.FieldsFunc(s, func(r rune) bool { return !isWordRune(r) })
	return strings.Map(func(r rune) rune {
		switch {
		case r == zeroWidthNonJoiner || r == zeroWidthJoiner:
			if slices.ContainsFunc(words, hasStrayJoiner) {
				return -1
			}
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

var joinerRule = idna.New(idna.CheckJoiners(true), idna.MapForLookup())

// hasStrayJoiner reports whether a word has a joiner where CONTEXTJ does not allow it.
func hasStrayJoiner(word string) bool {
	if !strings.ContainsRune(word, zeroWidthNonJoiner) && !strings.ContainsRune(word, zeroWidthJoiner) {
		return false
	}
	_, err := joinerRule.ToASCII(word)
	return err != nil
}

// cleanLocale returns the canonical form of a BCP 47 tag, or the default for an empty string.
func cleanLocale(s string) (string, error) {
	if s == "" {
		return defaultLocale, nil
	}
	tag, err := language.Parse(s)
	if err != nil {
		return "", subjects.InvalidField("locale", "is not a BCP 47 language tag")
	}
	return tag.String(), nil
}

// cleanTimeZone accepts the names of the IANA database. An empty string becomes the default.
func cleanTimeZone(s string) (string, error) {
	if s == "" {
		return defaultTimeZone, nil
	}
	if _, err := subjects.LoadTimeZone(s); err != nil {
		return "", subjects.InvalidField("time_zone", "is not an IANA time zone")
	}
	return s, nil
}

// cleanAvatar accepts an absolute https URL without credentials, or an empty string for no picture.
func cleanAvatar(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "", subjects.InvalidField("avatar_url", "is not an https URL")
	}
	return u.String(), nil
}

// newUser returns the account of a registration, without ID, password hash and times.
func newUser(req subjects.RegisterRequest) (user, error) {
	u := user{Roles: []string{subjects.RoleUser}, SecondFactor: factorDefault, Version: 1}
	var err error
	if u.Email, err = normalEmail(req.Email); err != nil {
		return u, err
	}
	if u.FirstName, err = cleanName("first_name", req.FirstName); err != nil {
		return u, err
	}
	if u.LastName, err = cleanName("last_name", req.LastName); err != nil {
		return u, err
	}
	if u.Locale, err = cleanLocale(req.Locale); err != nil {
		return u, err
	}
	u.TimeZone, err = cleanTimeZone(req.TimeZone)
	return u, err
}

// change applies a profile update and returns the names of the changed fields.
func (u user) change(req subjects.UpdateUserProfileRequest) (user, []string, error) {
	var changed []string
	for _, field := range []struct {
		name  string
		to    subjects.Optional[string]
		value *string
		clean func(string) (string, error)
	}{
		{"first_name", req.FirstName, &u.FirstName, func(s string) (string, error) { return cleanName("first_name", s) }},
		{"last_name", req.LastName, &u.LastName, func(s string) (string, error) { return cleanName("last_name", s) }},
		{"avatar_url", req.AvatarURL, &u.AvatarURL, cleanAvatar},
		{"locale", req.Locale, &u.Locale, cleanLocale},
		{"time_zone", req.TimeZone, &u.TimeZone, cleanTimeZone},
	} {
		if !field.to.Set {
			continue
		}
		value, err := field.clean(field.to.Value)
		if err != nil {
			return u, nil, err
		}
		if *field.value != value {
			*field.value = value
			changed = append(changed, field.name)
		}
	}
	return u, changed, nil
}
