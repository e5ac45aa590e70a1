package definition

import (
	"context"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Lint returns the faults, in the order of the source, that keep a definition (YAML or JSON) from being created. They are
// those of validate_workflow, except that references to other documents are not fetched, and so not checked.
func Lint(source []byte, providers Providers) language.Faults {
	_, faults := (&inspector{providers: providers}).inspect(context.Background(), source)
	if parsed, wrong := language.Parse(source); len(wrong) == 0 {
		return withoutReferences(parsed, faults)
	}
	return faults
}
