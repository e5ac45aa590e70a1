package language

import (
	"fmt"

	"github.com/weftmesh/weft/actors/budget"
)

// wholePattern is a regular expression that matches a text only as a whole.
func wholePattern(text string) string { return "^(?:" + text + ")$" }

// MatchPattern reports whether the whole of a text matches a regular expression of an event filter, in the syntax of package regexp. The
// whole budget, which may be nil, is charged by the length of the text and the size of the pattern. The definition keeps a bounded number
// of compiled patterns.
func (w *Workflow) MatchPattern(expression, text string, whole *budget.Budget) (bool, error) {
	p, known, err := w.patterns.Get(wholePattern(expression))
	if !known {
		if err := whole.Step(200 + 25*len(expression)); err != nil {
			return false, fmt.Errorf("compiling a pattern: %w", err)
		}
	}
	if err != nil {
		return false, fmt.Errorf("compiling a pattern: %w", err)
	}
	matched, err := p.Match(text, whole)
	if err != nil {
		return false, fmt.Errorf("matching a pattern: %w", err)
	}
	return matched, nil
}
