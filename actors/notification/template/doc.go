// Package template renders the texts of notifications. Its language is a subset of Handlebars; docs/templates.md describes it. Everything
// outside the subset is refused by Parse with line and column. What Parse accepts renders to the same text as in handlebars.js with the
// same helpers, but for the differences that the document lists.
//
// Rendering is bounded by a budget: steps, bytes of output, time. Templates call neither functions of Go nor the outside.
package template

import (
	"fmt"
	"unicode/utf8"
)

// The parts of a template. In HTML, values are escaped. Subjects and texts are not escaped; a subject has no line breaks.
const (
	Subject = "subject"
	HTML    = "html"
	Text    = "text"
)

// Bounds of one source.
const (
	// MaxSource bounds a source in bytes.
	MaxSource = 64 << 10
	// MaxNesting bounds the nesting of blocks, and that of subexpressions.
	MaxNesting = 32
	// MaxNodes bounds the elements of a source: tags, texts between them, and the parts of expressions.
	MaxNodes = 8192
	// MaxPartials bounds the depth of partials that use partials.
	MaxPartials = 8
	// MaxData bounds the nesting of data.
	MaxData = 64
)

// Error is an error in a template: of its source, or of rendering it.
type Error struct {
	// Template and Part name the source. Parse leaves Template empty.
	Template, Part string
	// Line and Column count from 1, in code points.
	Line, Column int
	Message      string
	// Cause is what a helper, the budget or the function that finds partials returned; nil for errors of a source.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("template %q, %s, line %d, column %d: %s", e.Template, e.Part, e.Line, e.Column, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// position returns line and column of an offset in a source.
func position(source string, offset int) (line, column int) {
	line = 1
	start := 0
	for i := range min(offset, len(source)) {
		if source[i] == '\n' {
			line++
			start = i + 1
		}
	}
	return line, 1 + utf8.RuneCountInString(source[start:min(offset, len(source))])
}
