package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-openapi/jsonpointer"
)

// Fault is one error in a manifest.
type Fault struct {
	// Line and Column count from 1. Both are 0 if the position is unknown.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Pointer is the JSON pointer (RFC 6901) of the faulty value. "" is the whole document.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// String formats a fault as line:column: pointer: message.
func (f Fault) String() string {
	return fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Column, cmp.Or(f.Pointer, "/"), f.Message)
}

// Faults lists the errors of a manifest by position, at most 100. As an error it is never empty.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults is the greatest number of faults reported for one file.
const maxFaults = 100

// asError sorts the faults, removes duplicates and truncates the list. It returns nil for an empty list.
func (f Faults) asError() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Message, b.Message))
	})
	f = slices.Compact(f)
	return f[:min(len(f), maxFaults)]
}

// position is the position of a value and, for an object's member, of its key.
type position struct{ line, column, keyLine, keyColumn int }

// positions maps JSON pointers to positions in a file.
type positions map[string]position

// at returns a fault with the position of the value at pointer, or of its nearest parent that exists.
func (p positions) at(pointer, format string, args ...any) Fault {
	place := p.near(pointer)
	return Fault{Line: place.line, Column: place.column, Pointer: pointer, Message: fmt.Sprintf(format, args...)}
}

// key returns a fault with the position of the key of the member at pointer.
func (p positions) key(pointer, format string, args ...any) Fault {
	place := p.near(pointer)
	fault := p.at(pointer, format, args...)
	if place.keyLine > 0 {
		fault.Line, fault.Column = place.keyLine, place.keyColumn
	}
	return fault
}

// near returns the position of the value at pointer, or of its nearest parent that exists.
func (p positions) near(pointer string) position {
	for {
		if place, ok := p[pointer]; ok || pointer == "" {
			return place
		}
		pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	}
}

// pointerTo appends reference tokens to a JSON pointer.
func pointerTo(base string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(jsonpointer.Escape(token))
	}
	return b.String()
}
