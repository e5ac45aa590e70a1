package workflow

import "github.com/weftmesh/weft/actors/workflow/language"

// Lint tells what keeps a definition, YAML or JSON, from being created: the same faults, in the same order, as
// validate_workflow answers with. It needs no actor and no mesh. None means that the definition would be taken.
func Lint(source []byte) language.Faults {
	_, faults := inspect(source)
	return faults
}
