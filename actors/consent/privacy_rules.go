package consent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

const (
	// responseMonths is how long a request may take, extensionMonths what an extension adds (GDPR Art. 12(3)).
	responseMonths  = 1
	extensionMonths = 2
)

// addMonths returns the day of the same number some months later, or that month's last day if it has no such day (Regulation (EEC, Euratom)
// 1182/71, Art. 3(2)(c)).
func addMonths(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).AddDate(0, months, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// selfServed are the fields that a user can change: with update_user_profile, and the address with change_email.
var selfServed = []string{"email", "first_name", "last_name", "avatar_url", "locale", "time_zone"}

// checkRequest checks what a request's kind requires.
func checkRequest(r subjects.CreatePrivacyRequestRequest) error {
	exports := r.Kind == subjects.PrivacyAccess || r.Kind == subjects.PrivacyPortability
	switch {
	case r.Kind == subjects.PrivacyRectification && len(r.Fields) == 0:
		return subjects.InvalidField("fields", "is missing: say what is wrong")
	case r.Kind != subjects.PrivacyRectification && len(r.Fields) > 0:
		return subjects.InvalidField("fields", "belongs to rectification")
	case !exports && r.Format != "":
		return subjects.InvalidField("format", "belongs to access and portability")
	case r.Kind != subjects.PrivacyErasure && r.Password != "":
		return subjects.InvalidField("password", "belongs to erasure")
	case r.Kind != subjects.PrivacyErasure && r.Code != "":
		return subjects.InvalidField("code", "belongs to erasure")
	}
	for i, f := range r.Fields {
		if slices.ContainsFunc(r.Fields[:i], func(g subjects.RectificationChange) bool { return g.Field == f.Field }) {
			return subjects.InvalidField(fmt.Sprintf("fields[%d].field", i), "is there twice")
		}
	}
	return nil
}

// privacyActors are the actors that hold data of users, by name.
func privacyActors() []string {
	return []string{"auth", "consent", "integration", "notification", "workflow"}
}

// markCorrected marks the fields that the user has changed in the profile, and reports whether all are corrected now.
func markCorrected(fields []subjects.Rectification, changed []string) (all, any bool) {
	all = true
	for i := range fields {
		if !fields[i].Corrected && slices.Contains(selfServed, fields[i].Field) && slices.Contains(changed, fields[i].Field) {
			fields[i].Corrected, any = true, true
		}
		all = all && fields[i].Corrected
	}
	return all, any
}

// retryAfter is the pause after some failed attempts.
func retryAfter(base time.Duration, attempts int) time.Duration {
	const most = 6 * time.Hour
	return min(min(base, most)<<min(attempts, 16), most)
}

// csvCell is a value as a cell of CSV. What a spreadsheet would take for a formula begins with an apostrophe.
func csvCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
