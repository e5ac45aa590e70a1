package template

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// shippedFiles are the templates that weft brings: shipped/<locale>/<name>.hbs and, with the HTML, <name>.html.hbs. A message begins with its
// subject and an empty line; its HTML is shown in ShippedLayout, which is HTML alone. A file without a subject is a partial.
//
//go:embed shipped/*/*.hbs
var shippedFiles embed.FS

// ShippedLayout is the layout of the shipped messages that have HTML.
const ShippedLayout = "notification.layout"

// htmlSuffix ends the names of the files with HTML.
const htmlSuffix = ".html"

// Shipped returns the templates that weft brings, by name and language. All are strict and for every channel.
func Shipped() ([]*Set, error) {
	files, err := fs.Glob(shippedFiles, "shipped/*/*.hbs")
	if err != nil {
		return nil, fmt.Errorf("listing shipped templates: %w", err)
	}
	sources := map[string]*Sources{} // by locale and name
	for _, file := range files {
		text, err := shippedFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a shipped template: %w", err)
		}
		path, isHTML := strings.CutSuffix(strings.TrimSuffix(strings.TrimPrefix(file, "shipped/"), ".hbs"), htmlSuffix)
		s := sources[path]
		if s == nil {
			folder, name, _ := strings.Cut(path, "/")
			s = &Sources{Name: name, Kind: Partial, Strict: true}
			if s.Locale, err = language.Parse(folder); err != nil {
				return nil, fmt.Errorf("shipped template %s: %w", file, err)
			}
			sources[path] = s
		}
		if isHTML {
			s.HTML = string(text)
		} else if s.Text = string(text); strings.HasPrefix(s.Text, "subject: ") {
			s.Kind = Message
			s.Subject, s.Text, _ = strings.Cut(strings.TrimPrefix(s.Text, "subject: "), "\n\n")
		}
	}
	sets := make([]*Set, 0, len(sources))
	for _, path := range slices.Sorted(maps.Keys(sources)) {
		s := *sources[path]
		switch {
		case s.Name == ShippedLayout:
			s.Kind = Layout
		case s.Kind == Message && s.HTML != "":
			s.Layout = ShippedLayout
		}
		set, err := Compile(s)
		if err != nil {
			return nil, fmt.Errorf("shipped template %s: %w", path, err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}
