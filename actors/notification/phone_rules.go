package notification

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

const (
	// codeLifetime is how long a code is valid.
	codeLifetime = 10 * time.Minute
	// codePeriod is the period of the bounds of codes.
	codePeriod = 24 * time.Hour
	// rangeDigits are the last digits in which the numbers of one range differ.
	rangeDigits = 4
)

// phoneBounds keep others from having SMS sent at the operator's cost.
type phoneBounds struct {
	user *quota.Bound
	// number and numberRange are reserved for their MACs in place of a user.
	number, numberRange *quota.Bound
	attempts            *quota.Bound
}

func newPhoneBounds(d actors.Deps, c PhoneConfig) phoneBounds {
	bound := func(name, what, column string, limit int) *quota.Bound {
		return &quota.Bound{
			Name: "notification.phone." + name, What: what, Unit: quota.Count, Limit: int64(limit), Period: codePeriod,
			Used: codesBy(column, func() time.Time { return d.Now().Add(-codePeriod) }),
		}
	}
	return phoneBounds{
		user:        bound("max_codes_per_user", "codes by SMS", "user_id", c.MaxCodesPerUser),
		number:      bound("max_codes_per_number", "codes by SMS to one number", "number_mac", c.MaxCodesPerNumber),
		numberRange: bound("max_codes_per_range", "codes by SMS to one range of numbers", "range_mac", c.MaxCodesPerRange),
		attempts: &quota.Bound{
			Name: "notification.phone.max_attempts", What: "attempts at one code; set the number again for a new one", Unit: quota.Count,
			Limit: int64(c.MaxAttempts),
		},
	}
}

// listed are the bounds as users see them: those of numbers count what others do too, so that what is used is not shown.
func (b phoneBounds) listed() []*quota.Bound {
	number, numberRange := *b.number, *b.numberRange
	number.Used, numberRange.Used = nil, nil
	return []*quota.Bound{b.user, &number, &numberRange, b.attempts}
}

// phoneNumber is a checked number.
type phoneNumber struct {
	// e164 is the number, such as +491512345678; numberRange is it without its last digits.
	e164, numberRange string
}

// parsePhone checks a number: a possible mobile number of an allowed country. Others, such as premium numbers, get no SMS.
func parsePhone(r subjects.SetPhoneRequest, c PhoneConfig) (phoneNumber, error) {
	country := r.Country
	if country == "" {
		country = phonenumbers.UNKNOWN_REGION
	}
	parsed, err := phonenumbers.Parse(r.Number, country)
	if err != nil {
		return phoneNumber{}, subjects.InvalidField("number", "is no phone number; give it in international form, such as +4915123456789")
	}
	if parsed.GetExtension() != "" || !phonenumbers.IsValidNumber(parsed) {
		return phoneNumber{}, subjects.InvalidField("number", "is no number that is in use")
	}
	switch phonenumbers.GetNumberType(parsed) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
	default:
		return phoneNumber{}, subjects.InvalidField("number", "is no mobile number")
	}
	if !c.allows(phonenumbers.GetRegionCodeForNumber(parsed)) {
		return phoneNumber{}, subjects.InvalidField("number", "is of a country to which no SMS are sent (notification.phone.allowed_countries)")
	}
	e164 := phonenumbers.Format(parsed, phonenumbers.E164)
	return phoneNumber{e164: e164, numberRange: e164[:max(len(e164)-rangeDigits, 0)]}, nil
}

// maskPhone hides a number in E.164 but for its country code and last two digits.
func maskPhone(e164 string) string {
	shown := 1
	if parsed, err := phonenumbers.Parse(e164, phonenumbers.UNKNOWN_REGION); err == nil {
		shown = 1 + len(fmt.Sprint(parsed.GetCountryCode()))
	}
	if len(e164) < shown+2 {
		return strings.Repeat("*", len(e164))
	}
	return e164[:shown] + strings.Repeat("*", len(e164)-shown-2) + e164[len(e164)-2:]
}

// newCode returns six random digits.
func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("making a code: %w", err)
	}
	return fmt.Sprintf("%06d", n), nil
}

// phoneContext binds a sealed number to its user.
func phoneContext(userID string) []byte { return []byte("phone|" + userID) }

func (a *Actor) sealPhone(userID, e164 string) (string, error) {
	sealed, err := a.Sealer.Seal([]byte(e164), phoneContext(userID))
	return base64.StdEncoding.EncodeToString(sealed), err
}

func (a *Actor) openPhone(row phoneRow) (e164 string, err error) {
	sealed, err := base64.StdEncoding.DecodeString(row.Number)
	if err != nil {
		return "", fmt.Errorf("reading a phone number: %w", err)
	}
	plain, err := a.Sealer.Open(sealed, phoneContext(row.UserID))
	if err != nil {
		return "", fmt.Errorf("reading a phone number: %w", err)
	}
	return string(plain), nil
}
