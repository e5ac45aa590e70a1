package definition

import (
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// headerFaults reports headers that a call can never send: those of the connection, and names and values that HTTP does not
// have (RFC 9110 §5.1, §5.5, §7.6.1).
func headerFaults(source *language.Source, w *language.Workflow) (faults language.Faults) {
	w.Each(func(t *language.Task) {
		if t.Call == nil || t.Call.HTTP == nil {
			return
		}
		headers, _ := t.Call.HTTP.Headers.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			value, isText := headers[name].(string)
			if isText && (language.IsExpression(value) || w.Loose) {
				value = ""
			}
			if err := language.CheckHeader(name, value); err != nil {
				faults = append(faults, faultAt(source, t.Pointer+"/with/headers/"+escapePointer.Replace(name), language.CodeValue, err.Error()))
			}
		}
	})
	return faults
}
