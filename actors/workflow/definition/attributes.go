package definition

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxAttributes bounds the attributes of a definition.
	maxAttributes = 20
	// maxAttributeText bounds the value of an attribute, in bytes; a longer one is truncated.
	maxAttributeText = 200

	pointerAttributes = "/document/metadata/attributes"
)

// attributeName matches the names of attributes.
var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// attributeFaults checks the attributes declared in document.metadata.attributes.
func attributeFaults(source *language.Source, w *language.Workflow) (faults language.Faults) {
	given, has := w.Document.Metadata["attributes"]
	if !has {
		return nil
	}
	fault := func(pointer, code, message string) { faults = append(faults, faultAt(source, pointer, code, message)) }
	declared, ok := given.(map[string]any)
	if !ok {
		fault(pointerAttributes, language.CodeType, "must be an object")
	}
	if len(declared) > maxAttributes {
		fault(pointerAttributes, language.CodeTooLarge, fmt.Sprintf("a definition has at most %d attributes", maxAttributes))
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		pointer := pointerAttributes + "/" + escapePointer.Replace(name)
		text, isText := declared[name].(string)
		switch {
		case !attributeName.MatchString(name):
			fault(pointer, language.CodeValue, "an attribute's name is a letter, then letters, digits and underscores, at most 63 in all")
		case !isText:
			fault(pointer, language.CodeType, "must be a text or an expression over the input")
		case language.IsExpression(text):
			if err := language.CheckExpression(text); err != nil {
				fault(pointer, language.CodeExpression, err.Error())
			}
		}
	}
	return faults
}

// AttributesOf returns the attributes of a new execution as canonical JSON: an object of texts, or empty if the definition
// declares none. An attribute whose expression fails on the input, or gives null, an object or a list, is left out.
func AttributesOf(w *language.Workflow, input string) string {
	declared, _ := w.Document.Metadata["attributes"].(map[string]any)
	if len(declared) == 0 {
		return ""
	}
	value, err := language.Decode([]byte(input))
	if err != nil {
		return ""
	}
	attributes := map[string]any{}
	for name, expression := range declared {
		result, err := w.Fill(expression, value, language.Scope{})
		if err != nil {
			continue
		}
		switch result.(type) {
		case nil, map[string]any, []any:
			continue
		}
		text := machine.Storable(language.Text(result))
		attributes[name] = strings.ToValidUTF8(text[:min(len(text), maxAttributeText)], "")
	}
	if len(attributes) == 0 {
		return ""
	}
	return string(language.Canonical(attributes))
}

// AttributeFilter splits a filter of executions, name:value. Its error names the field attribute.
func AttributeFilter(filter string) (name, value string, err error) {
	name, value, found := strings.Cut(filter, ":")
	if !found || !attributeName.MatchString(name) {
		return "", "", subjects.InvalidField("attribute", "must be name:value, such as order:1001")
	}
	return name, value, nil
}

// AttributesFrom decodes what AttributesOf returned; nil for an execution without attributes.
func AttributesFrom(text string) (attributes map[string]string) {
	if text == "" || json.Unmarshal([]byte(text), &attributes) != nil {
		return nil
	}
	return attributes
}
