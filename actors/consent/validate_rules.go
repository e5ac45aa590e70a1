package consent

import (
	"fmt"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// maxScopeText bounds the text of a scope, as the schema of validate_consent does.
const maxScopeText = 64

// consentCheck is one check of an entry of bulk_validate_consents.
type consentCheck struct {
	entry         int
	userID, scope string
}

// expandChecks returns the checks of entries in their order: one for each scope of each entry, at most subjects.MaxBulkChecks. The error names the
// entry.
func expandChecks(caller actors.Caller, entries []subjects.ConsentCheck) ([]consentCheck, error) {
	checks := make([]consentCheck, 0, len(entries))
	for i, entry := range entries {
		scopes := entry.Scopes
		switch {
		case (entry.Scope == "") == (len(scopes) == 0):
			return nil, subjects.InvalidField(fmt.Sprintf("checks[%d].scope", i), "give either scope or scopes")
		case entry.Scope != "":
			scopes = []string{entry.Scope}
		}
		userID, err := subjectOfCheck(caller, entry.UserID)
		if err != nil {
			return nil, err
		}
		for j, scope := range scopes {
			if scope == "" || utf8.RuneCountInString(scope) > maxScopeText {
				return nil, subjects.InvalidField(fmt.Sprintf("checks[%d].scopes[%d]", i, j), "must have 1 to %d characters", maxScopeText)
			}
			if len(checks) == subjects.MaxBulkChecks {
				return nil, subjects.InvalidField("checks", "make more than %d checks together", subjects.MaxBulkChecks)
			}
			checks = append(checks, consentCheck{i, userID, scope})
		}
	}
	return checks, nil
}
