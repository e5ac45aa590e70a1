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
	// maxAttributes bounds the attributes of a definition, maxAttributeText the text of one, in bytes.
	maxAttributes    = 20
	maxAttributeText = 200

	pointerAttributes = "/document/metadata/attributes"
)

// attributeKey is the name of an attribute by which executions are searched for.
var attributeKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// attributeFaults tells what is wrong with the attributes that a definition declares in document.metadata.attributes.
func attributeFaults(source []byte, w *language.Workflow) (faults language.Faults) {
	fault := func(pointer, code, message string) {
		line, column := locate(source, pointer)
		faults = append(faults, language.Fault{Line: line, Column: column, Pointer: pointer, Code: code, Message: message})
	}
	given, has := w.Document.Metadata["attributes"]
	if !has {
		return nil
	}
	declared, ok := given.(map[string]any)
	if !ok {
		fault(pointerAttributes, language.CodeType, "an object is expected")
	}
	if len(declared) > maxAttributes {
		fault(pointerAttributes, language.CodeTooLarge, fmt.Sprintf("a definition has at most %d attributes", maxAttributes))
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		text, isText := declared[name].(string)
		switch {
		case !attributeKey.MatchString(name):
			fault(pointerAttributes+"/"+name, language.CodeValue, "letters, digits and underscores are expected, at most 63")
		case !isText:
			fault(pointerAttributes+"/"+name, language.CodeType, "a text or an expression over the input is expected")
		case language.IsExpression(text):
			if err := language.CheckExpression(text); err != nil {
				fault(pointerAttributes+"/"+name, language.CodeExpression, err.Error())
			}
		}
	}
	return faults
}

// attributesOf are a new execution's attributes, as canonical JSON of texts; empty where the definition declares none. One
// that cannot be had from the input, or is neither text, number nor boolean, is left out.
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
		got, err := w.Fill(expression, value, language.Scope{})
		if err != nil {
			continue
		}
		switch got.(type) {
		case nil, map[string]any, []any:
			continue
		}
		text := machine.Storable(language.Text(got))
		attributes[name] = strings.ToValidUTF8(text[:min(len(text), maxAttributeText)], "")
	}
	if len(attributes) == 0 {
		return ""
	}
	return string(language.Canonical(attributes))
}

// AttributeFilter splits a filter of executions, name:value; its error names the field attribute.
func AttributeFilter(filter string) (name, value string, err error) {
	name, value, found := strings.Cut(filter, ":")
	if !found || !attributeKey.MatchString(name) {
		return "", "", subjects.InvalidField("attribute", "must be name:value, such as order:1001")
	}
	return name, value, nil
}

// attributesFrom reads an execution's attributes.
func AttributesFrom(text string) (attributes map[string]string) {
	if text == "" || json.Unmarshal([]byte(text), &attributes) != nil {
		return nil
	}
	return attributes
}
