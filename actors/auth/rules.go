package auth

import (
	"net/mail"
	"net/url"
	"strings"
	"time"
	_ "time/tzdata" // time zones for containers without zoneinfo files
	"unicode"
	"unicode/utf8"

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
}

const (
	defaultLocale   = "en"
	defaultTimeZone = "UTC"
)

func (u user) profile() subjects.Profile {
	return subjects.Profile{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, FirstName: u.FirstName, LastName: u.LastName,
		AvatarURL: u.AvatarURL, Locale: u.Locale, TimeZone: u.TimeZone, Roles: u.Roles, CreatedAt: u.CreatedAt,
	}
}

// maxEmail is the maximum length of an address (RFC 5321 §4.5.3.1.3).
const maxEmail = 254

// normalEmail returns the form of an address by which accounts are found: lower case, NFC. It refuses anything but a
// plain address, such as a display name, quotes or a comment.
func normalEmail(s string) (string, error) {
	s = norm.NFC.String(strings.TrimSpace(s))
	address, err := mail.ParseAddress(s)
	if err != nil || address.Name != "" || address.Address != s || len(s) > maxEmail || strings.ContainsAny(s, "\"\\ ") {
		return "", subjects.InvalidField("email", "is not a plain e-mail address")
	}
	return strings.ToLower(s), nil
}

// cleanName trims a name. It refuses control and invisible formatting characters.
func cleanName(field, s string) (string, error) {
	s = norm.NFC.String(strings.TrimSpace(s))
	hidden := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, hidden) {
		return "", subjects.InvalidField(field, "has control or invisible characters")
	}
	return s, nil
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
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
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
	u := user{Roles: []string{subjects.RoleUser}, SecondFactor: factorDefault}
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
