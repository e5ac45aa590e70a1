package definition

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// secretName is what a secret can be called.
var secretName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// secretFaults are the names in use.secrets that no secret can have, and calls of functions that keep what they are given:
// it would be a secret no more.
func secretFaults(w *language.Workflow) language.Faults {
	var faults language.Faults
	for i, name := range w.Use.Secrets {
		if !secretName.MatchString(name) {
			faults = append(faults, language.Fault{Line: 1, Column: 1, Pointer: fmt.Sprintf("/use/secrets/%d", i), Code: language.CodeValue,
				Message: fmt.Sprintf("a secret cannot be called %.80q: a letter, then letters, digits, _ and -, at most 63", name)})
		}
	}
	w.Each(func(t *language.Task) {
		if t.Call == nil || !slices.Contains([]string{machine.FunctionNotify, machine.FunctionStart, machine.FunctionApproval}, t.Call.Function) || !t.UsesSecrets() {
			return
		}
		faults = append(faults, language.Fault{Line: max(t.Line, 1), Column: max(t.Column, 1), Pointer: t.Pointer, Code: language.CodeValue,
			Message: t.Call.Function + " keeps what it is given: $secrets cannot be used in it"})
	})
	return faults
}
