package template

import (
	"fmt"
	"slices"

	"golang.org/x/text/language"
)

// Sources are one version of a template in one language.
type Sources struct {
	Name, Kind          string
	Locale              language.Tag
	Subject, HTML, Text string
	// Layout names the layout around HTML and Text; empty for none.
	Layout string
	// Strict makes a missing variable an error.
	Strict bool
}

// Set is a parsed template: its parts, layout and mode. It is safe for concurrent use.
type Set struct {
	Sources

	parts map[string]*Template
}

// partNames are the parts in the order in which they are parsed and rendered.
var partNames = []string{Subject, HTML, Text}

// Compile parses the parts of a template. The error is an *Error, whose Part names the source.
func Compile(s Sources) (*Set, error) {
	set := &Set{Sources: s, parts: map[string]*Template{}}
	for _, part := range partNames {
		source := set.source(part)
		if source == "" {
			continue
		}
		t, err := Parse(source, Options{Part: part, Kind: s.Kind, Locale: s.Locale})
		if err != nil {
			return nil, err
		}
		set.parts[part] = t
	}
	return set, nil
}

func (s *Set) source(part string) string {
	switch part {
	case Subject:
		return s.Subject
	case HTML:
		return s.HTML
	}
	return s.Text
}

// Uses returns the partials that a part uses, each once.
func (s *Set) Uses(part string) []Reference {
	if t := s.parts[part]; t != nil {
		return t.references
	}
	return nil
}

// Size is about the memory that the set takes, in bytes.
func (s *Set) Size() int {
	size := 1024
	for _, t := range s.parts {
		size += t.size()
	}
	return size
}

// Output is a rendered template.
type Output struct{ Subject, HTML, Text string }

// Find returns a partial or layout by its name. The error's text names the cause.
type Find func(name, kind string) (*Set, error)

// Render renders a message: its subject, its text, and with html its HTML. Where it has no text, the text is made from the HTML. It returns
// the missing variables, at most MaxMissing. In strict mode the first of them is an error, which is an *Error as all others are.
func (s *Set) Render(env Env, find Find, html bool) (out Output, missing []Missing, err error) {
	env.Name, env.Missing = s.Name, &missing
	for _, part := range partNames {
		if s.parts[part] == nil || part == HTML && !html && s.parts[Text] != nil {
			continue
		}
		text, err := s.part(env, find, part)
		if err != nil {
			return Output{}, missing, err
		}
		switch part {
		case Subject:
			out.Subject = text
		case HTML:
			out.HTML = text
		case Text:
			out.Text = text
		}
	}
	if out.HTML != "" && s.parts[Text] == nil {
		out.Text = plainText(out.HTML)
	}
	if !html {
		out.HTML = ""
	}
	if s.Strict && len(missing) > 0 {
		err = missing[0].err()
	}
	return out, missing, err
}

// err is the error of a missing variable in strict mode.
func (m Missing) err() error {
	return &Error{Template: m.Template, Part: m.Part, Line: m.Line, Column: m.Column, Message: fmt.Sprintf("the variable %s is missing", m.Name)}
}

// part renders one part, with its layout.
func (s *Set) part(env Env, find Find, part string) (string, error) {
	used := part
	if part == Subject {
		used = Text
	}
	env.Partial = func(name string) (*Template, error) {
		partial, err := find(name, Partial)
		if err != nil {
			return nil, err
		}
		if t := partial.parts[used]; t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("the partial %s has no %s", name, used)
	}
	text, err := s.parts[part].Render(env)
	if err != nil || s.Layout == "" || part == Subject {
		return text, err
	}
	layout, err := find(s.Layout, Layout)
	if err != nil {
		return "", &Error{Template: s.Name, Part: part, Line: 1, Column: 1, Message: err.Error()}
	}
	around := layout.parts[part]
	if around == nil {
		return text, nil
	}
	data := env.Data.with()
	data.Set(Body, text)
	env.Name, env.Data = s.Layout, data
	return around.Render(env)
}

// Parts returns the parts that a set has.
func (s *Set) Parts() []string {
	return slices.DeleteFunc(slices.Clone(partNames), func(part string) bool { return s.parts[part] == nil })
}
