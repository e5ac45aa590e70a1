package definition

import (
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// The escapes of RFC 6901 §3. Both replacers try their patterns in one pass, so "~01" becomes "~1" and not "/".
var (
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
)

// faultAt returns a fault with the position of pointer in source; without a position if source is nil.
func faultAt(source *language.Source, pointer, code, message string) language.Fault {
	if source == nil {
		return language.Fault{Pointer: pointer, Code: code, Message: message}
	}
	return source.Fault(pointer, code, message)
}
