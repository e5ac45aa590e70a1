package definition

import "github.com/weftmesh/weft/actors/workflow/language"

// Lint tells what keeps a definition, YAML or JSON, from being created: the same faults, in the same order, as
// validate_workflow answers with. It needs no actor and no mesh, and so does not look at what the definition refers to
// elsewhere. None means that the definition would be taken, if that can be had.
func Lint(source []byte) language.Faults {
	_, faults := Inspect(source)
	if parsed, wrong := language.Parse(source); len(wrong) == 0 {
		return withoutReferences(parsed, faults)
	}
	return faults
}
