// Package pattern compiles and matches regular expressions that users wrote, within a budget.
//
// Go's own expressions (RE2) take time that is linear in the text, and steps for it: the same on every machine. JSON Schema's patterns are
// those of ECMA-262. One that RE2 can express exactly is translated; one with lookaround or backreferences is matched by backtracking,
// with the remaining time of the budget as its bound. A match that exceeds its bound is an error, never a verdict.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync"
	"time"

	"github.com/dlclark/regexp2"

	"github.com/weftmesh/weft/actors/budget"
)

// Bounds of one pattern.
const (
	// MaxText bounds the text of a pattern, in bytes.
	MaxText = 4 << 10
	// MaxSize bounds what a pattern compiles to, in instructions: (a{100}){100} has ten thousand.
	MaxSize = 10_000
	// MaxBacktracked bounds the text that a pattern with lookaround or backreferences is matched against, in bytes.
	MaxBacktracked = 64 << 10
	// MaxTime bounds one match of such a pattern.
	MaxTime = time.Second
)

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct {
	text string
	// linear is the pattern as RE2; nil for one that has to be backtracked. size is what it compiles to.
	linear *regexp.Regexp
	size   int
	// later matches a character and what follows the first match of the pattern after it, so that a search can begin within a text.
	later func() *regexp.Regexp

	mu   sync.Mutex // the time-out of backtracked is set for each match
	slow *regexp2.Regexp
}

// Compile compiles a pattern in the syntax of package regexp.
func Compile(text string) (*Pattern, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", MaxText)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("parsing a pattern: %w", err)
	}
	size := sizeOf(tree)
	if size > MaxSize {
		return nil, errors.New("the pattern is too large: its repetitions and alternatives multiply")
	}
	linear, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("compiling a pattern: %w", err)
	}
	return &Pattern{text: text, linear: linear, size: size, later: sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\A(?s:.)(?s:.*?)(` + text + `)`) // text compiles by itself
	})}, nil
}

// CompileECMA compiles a pattern of ECMA-262, as JSON Schema has them.
func CompileECMA(text string) (*Pattern, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", MaxText)
	}
	slow, err := regexp2.Compile(forRegexp2(text), regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("compiling a pattern: %w", err)
	}
	if translated, exact := translate(text); exact {
		if p, err := Compile(translated); err == nil {
			p.text = text
			return p, nil
		}
	}
	return &Pattern{text: text, slow: slow}, nil
}

// sizeOf is about how many instructions a pattern compiles to; more than MaxSize for any that has more.
func sizeOf(tree *syntax.Regexp) int {
	size := 1 + len(tree.Rune)/16
	if tree.Op == syntax.OpLiteral {
		size = len(tree.Rune)
	}
	for _, sub := range tree.Sub {
		if size += sizeOf(sub); size > MaxSize {
			return size
		}
	}
	if tree.Op == syntax.OpRepeat {
		size *= max(tree.Min+1, tree.Max, 1)
	}
	return size
}

// String is the source of the pattern.
func (p *Pattern) String() string { return p.text }

// Size is about how many instructions the pattern compiled to.
func (p *Pattern) Size() int { return p.size }

// Steps is how many steps matching a text of so many bytes takes.
func (p *Pattern) Steps(length int) int {
	if p.linear == nil {
		return 8 + length
	}
	return 1 + length*(p.size+4)/20
}

// Match reports whether the pattern matches a part of the text. The budget, which may be nil, is charged before.
func (p *Pattern) Match(text string, b *budget.Budget) (bool, error) {
	if err := b.Step(p.Steps(len(text))); err != nil {
		return false, err //nolint:wrapcheck // the budget's error is the caller's
	}
	if p.linear != nil {
		return p.linear.MatchString(text), nil
	}
	if len(text) > MaxBacktracked {
		return false, fmt.Errorf("a text of more than %d bytes cannot be matched by a pattern with lookaround or backreferences: %w", MaxBacktracked,
			budget.ErrBytes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow.MatchTimeout = b.Remaining(MaxTime)
	matched, err := p.slow.MatchString(text)
	if err != nil {
		return false, fmt.Errorf("matching the pattern %.100q takes too long: %w", p.text, budget.ErrTime)
	}
	return matched, nil
}

// IsLinear reports whether matching takes time that is linear in the text.
func (p *Pattern) IsLinear() bool { return p.linear != nil }
