package language

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Codes of faults. The set is closed.
const (
	// CodeSyntax: the source is not YAML or JSON, or not one document.
	CodeSyntax = "syntax"
	// CodeTooLarge: a bound of this package is exceeded.
	CodeTooLarge = "too_large"
	// CodeDuplicate: a key, a task name in one list, or a component is given twice.
	CodeDuplicate = "duplicate"
	// CodeUnknownField: a field that the specification does not define.
	CodeUnknownField = "unknown_field"
	// CodeMissing: a field that is required is absent.
	CodeMissing = "missing"
	// CodeType: a value is of the wrong type.
	CodeType = "type"
	// CodeValue: a value is of the right type and not allowed.
	CodeValue = "value"
	// CodeExpression: a runtime expression does not parse, or uses what is forbidden.
	CodeExpression = "expression"
	// CodeReference: a name refers to nothing.
	CodeReference = "reference"
	// CodeUnsupported: the specification defines it and weft does not run it.
	CodeUnsupported = "unsupported"
)

// Fault is one thing wrong with a definition.
type Fault struct {
	// Line and Column count from 1.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Pointer is the RFC 6901 pointer of the value at fault; empty for the whole document.
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error renders the fault as line:column: pointer: message.
func (f Fault) Error() string {
	return fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Column, f.Pointer, f.Message)
}

// Faults are all the faults of a definition in the order of the source. An empty Faults means none.
type Faults []Fault

// Error renders the faults one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}

// escape renders a key as one token of an RFC 6901 pointer.
func escape(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
