package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a manifest.
type Fault struct {
	// Line and Column count from 1; both are 0 where no place is known.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Pointer is the JSON pointer (RFC 6901) of what is wrong, as if the file were JSON.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Column, cmp.Or(f.Pointer, "/"), f.Message)
}

// Faults is every fault found, in the file's order. It is never empty where it is an error.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults bounds what one file can make weft say.
const maxFaults = 100

// asError sorts and bounds the faults; none is nil.
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

// position is where a value and, for an object's member, its key stand.
type position struct{ line, column, keyLine, keyColumn int }

// positions are a file's places by JSON pointer.
type positions map[string]position

// at makes a fault about the value at pointer, or about the nearest value around it.
func (p positions) at(pointer, format string, args ...any) Fault {
	place := p.near(pointer)
	return Fault{Line: place.line, Column: place.column, Pointer: pointer, Message: fmt.Sprintf(format, args...)}
}

// key makes a fault about the key of the member at pointer.
func (p positions) key(pointer, format string, args ...any) Fault {
	place := p.near(pointer)
	fault := p.at(pointer, format, args...)
	if place.keyLine > 0 {
		fault.Line, fault.Column = place.keyLine, place.keyColumn
	}
	return fault
}

func (p positions) near(pointer string) position {
	for {
		if place, ok := p[pointer]; ok || pointer == "" {
			return place
		}
		pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	}
}

// pointerTo appends tokens to a JSON pointer.
func pointerTo(base string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(pointerEscape.Replace(token))
	}
	return b.String()
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")
