package template

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// shippedFiles are the templates that weft brings: shipped/<locale>/<name>.hbs. A message begins with its subject and an empty line; a file
// without a subject is a partial.
//
//go:embed shipped/*/*.hbs
var shippedFiles embed.FS

// Shipped returns the templates that weft brings, by name and language. All are strict and for every channel.
func Shipped() ([]*Set, error) {
	files, err := fs.Glob(shippedFiles, "shipped/*/*.hbs")
	if err != nil {
		return nil, fmt.Errorf("listing shipped templates: %w", err)
	}
	slices.Sort(files)
	sets := make([]*Set, len(files))
	for i, file := range files {
		source, err := shippedFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a shipped template: %w", err)
		}
		folder, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "shipped/"), ".hbs"), "/")
		s := Sources{Name: name, Kind: Partial, Text: string(source), Strict: true}
		if s.Locale, err = language.Parse(folder); err != nil {
			return nil, fmt.Errorf("shipped template %s: %w", file, err)
		}
		if rest, message := strings.CutPrefix(s.Text, "subject: "); message {
			s.Kind = Message
			s.Subject, s.Text, _ = strings.Cut(rest, "\n\n")
		}
		if sets[i], err = Compile(s); err != nil {
			return nil, fmt.Errorf("shipped template %s: %w", file, err)
		}
	}
	return sets, nil
}
