package subjects

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

var errTimeZone = errors.New("not an IANA time zone")

var timeZoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// LoadTimeZone returns the time zone of a name in the IANA database. It refuses names that only some machines have or that mean
// something else on each: the variants with leap seconds (right/…), their opposites (posix/…), and the machine's own zone.
func LoadTimeZone(name string) (*time.Location, error) {
	lower := strings.ToLower(name)
	for _, refused := range []string{"right/", "posix/", "local", "localtime", "posixrules", "factory"} {
		if lower == refused || strings.HasSuffix(refused, "/") && strings.HasPrefix(lower, refused) {
			return nil, errTimeZone
		}
	}
	if !timeZoneName.MatchString(name) {
		return nil, errTimeZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errTimeZone
	}
	return zone, nil
}
