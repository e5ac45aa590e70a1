package definition

import "github.com/weftmesh/weft/actors/workflow/language"

// Lint returns the faults, in the order of the source, that keep a definition (YAML or JSON) from being created. They are
// those of validate_workflow, except that references to other documents are not fetched, and so not checked.
func Lint(source []byte) language.Faults {
	_, faults := Inspect(source)
	if parsed, wrong := language.Parse(source); len(wrong) == 0 {
		return withoutReferences(parsed, faults)
	}
	return faults
}
