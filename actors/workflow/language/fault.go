package language

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The codes of faults. The set is closed.
const (
	// CodeSyntax: the source is not YAML or JSON, or is not exactly one document.
	CodeSyntax = "syntax"
	// CodeTooLarge: a bound of this package is exceeded.
	CodeTooLarge = "too_large"
	// CodeDuplicate: a key, a task name in a list, or a component occurs twice.
	CodeDuplicate = "duplicate"
	// CodeUnknownField: a field that the specification does not define.
	CodeUnknownField = "unknown_field"
	// CodeMissing: a required field is absent.
	CodeMissing = "missing"
	// CodeType: a value has the wrong type.
	CodeType = "type"
	// CodeValue: a value has the right type and is not allowed.
	CodeValue = "value"
	// CodeExpression: a runtime expression does not parse, or uses something forbidden or undefined.
	CodeExpression = "expression"
	// CodeReference: a name is not defined.
	CodeReference = "reference"
	// CodeUnsupported: a construct of the specification that weft does not implement.
	CodeUnsupported = "unsupported"
	// CodeWarning: something that is allowed and most probably not meant as it is written.
	CodeWarning = "warning"
)

// Fault is one error in a definition.
type Fault struct {
	// Line and Column count from 1.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Pointer is the RFC 6901 pointer of the faulty value; empty for the whole document.
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error formats the fault as line:column: pointer: message.
func (f Fault) Error() string {
	return fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Column, f.Pointer, f.Message)
}

// Faults are the faults of a definition, in the order of the source, at most MaxFaults. Empty Faults mean that there are none.
type Faults []Fault

// Error formats the faults, one per line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// unique returns sorted faults without those that repeat a message at a position.
func (f Faults) unique() Faults {
	return slices.CompactFunc(f, func(a, b Fault) bool { return a == b })
}

// first returns at most the first MaxFaults.
func (f Faults) first() Faults { return f[:min(len(f), MaxFaults):min(len(f), MaxFaults)] }

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}

// escapeToken escapes a key as a token of an RFC 6901 pointer.
func escapeToken(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
