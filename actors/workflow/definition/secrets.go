package definition

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// secretName matches the names that a secret can have.
var secretName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// storingFunctions are weft's own functions. They keep their arguments: in their output, in a notification, in an approval request, in another execution's
// input.
var storingFunctions = []string{
	machine.FunctionEcho, machine.FunctionConsent, machine.FunctionNotify, machine.FunctionStart, machine.FunctionApproval,
}

// secretFaults reports names in use.secrets that no secret can have, and secrets in the arguments of functions that store
// them, where they would be readable.
func secretFaults(source *language.Source, w *language.Workflow) language.Faults {
	var faults language.Faults
	for i, name := range w.Use.Secrets {
		if !secretName.MatchString(name) {
			faults = append(faults, faultAt(source, fmt.Sprintf("/use/secrets/%d", i), language.CodeValue,
				fmt.Sprintf("%.80q is not a valid secret name: a letter, then letters, digits, _ and -, at most 63 in all", name)))
		}
	}
	w.Each(func(t *language.Task) {
		if t.Call != nil && slices.Contains(storingFunctions, t.Call.Function) && t.UsesSecrets() {
			faults = append(faults, faultAt(source, t.Pointer, language.CodeValue, t.Call.Function+" stores its arguments, so $secrets is not allowed in them"))
		}
	})
	return faults
}
