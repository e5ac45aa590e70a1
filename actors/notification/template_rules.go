package notification

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/template"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxVariants bounds the variants of a template: languages times channels.
	maxVariants = 64
	// maxVersions bounds the versions of a variant that are kept: the newest.
	maxVersions = 100
	// maxSample bounds the sample data of a template in bytes, names and values.
	maxSample = 64 << 10
)

// variantKey names a variant of a template: that for a locale and a channel, which is empty for every channel.
type variantKey struct{ locale, channel string }

// variant is the current version of a variant, without its sources.
type variant struct {
	variantKey
	id, kind string
	// version is 0 for one that weft ships.
	version int
	uses    templateUses
	// set is that of a shipped one; others are compiled when they are needed.
	set       *template.Set
	createdAt int64
}

// templateUses is what a variant has and what it uses of other templates.
type templateUses struct {
	Parts []string `json:"parts"`
	// Partials are the names of partials by part.
	Partials map[string][]string `json:"partials,omitempty"`
	Layout   string              `json:"layout,omitempty"`
	Strict   bool                `json:"strict,omitempty"`
}

// templateContent is what a version stores.
type templateContent struct {
	Subject    string                     `json:"subject,omitempty"`
	HTML       string                     `json:"html,omitempty"`
	Text       string                     `json:"text,omitempty"`
	SampleData map[string]json.RawMessage `json:"sample_data,omitempty"`
}

// usesOf returns what a compiled template uses.
func usesOf(set *template.Set) templateUses {
	uses := templateUses{Parts: set.Parts(), Layout: set.Layout, Strict: set.Strict}
	for _, part := range uses.Parts {
		for _, reference := range set.Uses(part) {
			if uses.Partials == nil {
				uses.Partials = map[string][]string{}
			}
			uses.Partials[part] = append(uses.Partials[part], reference.Name)
		}
	}
	return uses
}

// partials are the names of all partials.
func (u templateUses) partials() []string {
	names := []string{}
	for _, part := range u.Parts {
		names = append(names, u.Partials[part]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// choose returns the variant for a channel and a reader's locale: of the first locale of the chain that has one, that for the channel, for
// every channel, or for e-mail, which has all parts. A template without any of the locales is in its alphabetically first one.
func choose(variants map[variantKey]variant, locale, otherwise, channelName string) (variant, bool) {
	locales := langtag.Fallback(locale, otherwise)
	rest := map[string]bool{}
	for key := range variants {
		rest[key.locale] = true
	}
	for _, locale := range append(locales, slices.Sorted(maps.Keys(rest))...) {
		for _, name := range []string{channelName, "", channel.Email} {
			if v, known := variants[variantKey{locale, name}]; known {
				return v, true
			}
		}
	}
	return variant{}, false
}

// checkTemplate applies the rules of put_template that the schema cannot express, and compiles the template.
func checkTemplate(r subjects.PutTemplateRequest, otherwise string) (subjects.PutTemplateRequest, *template.Set, error) {
	r.Kind = cmp.Or(r.Kind, template.Message)
	if r.Locale == "" {
		r.Locale = otherwise
	}
	canonical, ok := langtag.Canonical(r.Locale)
	if !ok {
		return r, nil, subjects.InvalidField("locale", "is not a BCP 47 tag")
	}
	r.Locale = canonical
	if err := checkParts(r); err != nil {
		return r, nil, err
	}
	set, err := template.Compile(template.Sources{
		Name: r.TemplateID, Kind: r.Kind, Locale: language.Make(r.Locale), Subject: r.Subject, HTML: r.HTML, Text: r.Text,
		Layout: r.Layout, Strict: r.Strict,
	})
	return r, set, templateFault(err)
}

// checkParts checks which parts a template has.
func checkParts(r subjects.PutTemplateRequest) error {
	needsSubject := r.Kind == template.Message && r.Channel != channel.SMS
	switch {
	case r.Text == "" && r.HTML == "":
		return subjects.InvalidField("text", "text or html is required")
	case r.Text == "" && r.Channel != "" && r.Channel != channel.Email:
		return subjects.InvalidField("text", "is required: html is for e-mail")
	case needsSubject && r.Subject == "":
		return subjects.InvalidField("subject", "is required")
	case r.Kind != template.Message && r.Subject != "":
		return subjects.InvalidField("subject", "is for messages")
	case r.Kind != template.Message && r.Channel != "":
		return subjects.InvalidField("channel", "is for messages: a partial and a layout are for every channel")
	case r.Kind != template.Message && r.Layout != "":
		return subjects.InvalidField("layout", "is for messages")
	}
	if dataSize(r.SampleData) > maxSample {
		return subjects.InvalidField("sample_data", "is larger than %d bytes", maxSample)
	}
	if _, err := templateData(r.SampleData); err != nil {
		return subjects.InvalidField("sample_data", "%s", err)
	}
	return nil
}

// templateFault converts the error of a template to that of the field that has its source.
func templateFault(err error) error {
	var fault *template.Error
	if !errors.As(err, &fault) {
		return err
	}
	message := fmt.Sprintf("line %d, column %d: %s", fault.Line, fault.Column, fault.Message)
	return &subjects.Error{
		Code: subjects.CodeInvalid, Detail: fault.Part + ": " + message,
		Fields: []subjects.FieldError{{Field: fault.Part, Message: fault.Message, Line: fault.Line, Column: fault.Column}},
	}
}

// dataSize is the size of data in bytes, names and values.
func dataSize(data map[string]json.RawMessage) (size int) {
	for key, value := range data {
		size += len(key) + len(value)
	}
	return size
}

// templateData decodes data for templates. Its members are in the order of their names, those of objects in it as sent.
func templateData(data map[string]json.RawMessage) (*template.Object, error) {
	root := &template.Object{}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		value, err := template.Decode(data[name])
		if err != nil {
			return nil, fmt.Errorf("%s %w", name, err)
		}
		root.Set(name, value)
	}
	return root, nil
}
