package pattern

import (
	"io"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/budget"
)

// Groups are the names of the groups of a pattern of package regexp's syntax, empty where they have none; the first is the whole match.
func (p *Pattern) Groups() []string { return p.linear.SubexpNames() }

// Find returns the first match of a pattern of package regexp's syntax that begins at a byte of the text or after it, as
// regexp.FindStringSubmatchIndex describes it; nil if there is none. It takes steps for what it reads, which can be far beyond the
// match.
func (p *Pattern) Find(text string, from int, b *budget.Budget) ([]int, error) {
	r := &reader{text: text, perRune: p.size + 4, budget: b}
	if from == 0 {
		found := p.linear.FindReaderSubmatchIndex(r)
		return found, r.err
	}
	_, before := utf8.DecodeLastRuneInString(text[:from])
	r.at = from - before
	found := p.later().FindReaderSubmatchIndex(r)
	if found == nil || r.err != nil {
		return nil, r.err
	}
	found = found[2:] // the match is the first group
	for i := range found {
		if found[i] >= 0 {
			found[i] += from - before
		}
	}
	return found, nil
}

// reader reads a text, and takes steps for each character that an automaton of some size reads. It ends early if there are none left.
type reader struct {
	text    string
	at      int
	perRune int
	owed    int
	budget  *budget.Budget
	err     error
}

// runesPerStep is how many instructions of an automaton are tried for a character in a step.
const runesPerStep = 20

// ReadRune implements io.RuneReader.
func (r *reader) ReadRune() (rune, int, error) {
	if r.owed += r.perRune; r.owed >= runesPerStep {
		r.err = r.budget.Step(r.owed / runesPerStep)
		r.owed %= runesPerStep
	}
	if r.err != nil || r.at >= len(r.text) {
		return 0, 0, io.EOF
	}
	c, width := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += width
	return c, width, nil
}
