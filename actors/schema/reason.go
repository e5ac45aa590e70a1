package schema

import (
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Bounds of the text of a failure.
const (
	maxReasons    = 20
	maxReasonText = 4 << 10
	maxPart       = 200
	maxListed     = 20
)

// English is the printer of the validator's own messages.
var english = message.NewPrinter(language.English)

// Text lists the reasons as the validator does, up to a number and a length: each part that does not match, by its JSON pointer, with what
// is wrong below it.
func (f *Failure) Text() string {
	if f.Reasons == nil {
		return "there are too many reasons to list them"
	}
	t := texts{}
	for _, cause := range f.Reasons.Causes {
		t.add(cause, 0)
	}
	return t.out.String()
}

type texts struct {
	out   strings.Builder
	count int
}

func (t *texts) add(e *jsonschema.ValidationError, indent int) {
	if t.count > maxReasons || t.out.Len() > maxReasonText {
		return
	}
	_, isReference := e.ErrorKind.(*kind.Reference)
	if !isReference || len(e.Causes) != 1 {
		if t.count++; t.count > maxReasons {
			t.out.WriteString("; …")
			return
		}
		if t.out.Len() > 0 {
			t.out.WriteString(";")
		}
		t.out.WriteString(strings.Repeat("  ", min(indent, 10)) + "- at '" + Cut(Pointer(e.InstanceLocation), maxPart) + "': ")
		t.out.WriteString(Cut(shortened(e.ErrorKind).LocalizedString(english), 2*maxPart))
		indent++
	}
	for _, cause := range e.Causes {
		t.add(cause, indent)
	}
}

// shortened is a kind of error with only as much of the data as a message repeats.
func shortened(k jsonschema.ErrorKind) jsonschema.ErrorKind {
	switch k := k.(type) {
	case *kind.Enum:
		return &kind.Enum{Got: short(k.Got), Want: shortList(k.Want)}
	case *kind.Const:
		return &kind.Const{Got: short(k.Got), Want: short(k.Want)}
	case *kind.Format:
		return &kind.Format{Got: short(k.Got), Want: k.Want, Err: k.Err}
	case *kind.Pattern:
		return &kind.Pattern{Got: Cut(k.Got, maxPart), Want: Cut(k.Want, maxPart)}
	case *kind.AdditionalProperties:
		return &kind.AdditionalProperties{Properties: shortTexts(k.Properties)}
	case *kind.Required:
		return &kind.Required{Missing: shortTexts(k.Missing)}
	case *kind.Dependency:
		return &kind.Dependency{Prop: Cut(k.Prop, maxPart), Missing: shortTexts(k.Missing)}
	case *kind.DependentRequired:
		return &kind.DependentRequired{Prop: Cut(k.Prop, maxPart), Missing: shortTexts(k.Missing)}
	case *kind.PropertyNames:
		return &kind.PropertyNames{Property: Cut(k.Property, maxPart)}
	case *kind.MinContains:
		return &kind.MinContains{Got: k.Got[:min(len(k.Got), maxListed)], Want: k.Want}
	case *kind.MaxContains:
		return &kind.MaxContains{Got: k.Got[:min(len(k.Got), maxListed)], Want: k.Want}
	case *kind.InvalidJsonValue:
		return &kind.InvalidJsonValue{Value: nil}
	}
	return k
}

func short(value any) any {
	switch value := value.(type) {
	case string:
		return Cut(value, maxPart)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return value
}

func shortList(values []any) []any {
	out := make([]any, 0, min(len(values), maxListed+1))
	for _, value := range values {
		if len(out) == maxListed {
			return append(out, "…")
		}
		out = append(out, short(value))
	}
	return out
}

func shortTexts(texts []string) []string {
	out := make([]string, 0, min(len(texts), maxListed+1))
	for _, text := range texts {
		if len(out) == maxListed {
			return append(out, "…")
		}
		out = append(out, Cut(text, maxPart))
	}
	return out
}
