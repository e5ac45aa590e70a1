package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/weftmesh/weft/cmd/weft/settings"
)

const module = "github.com/weftmesh/weft/"

// moduleRoot returns the directory of go.mod at or above the current one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod at or above the current directory, whose comments describe the settings")
		}
		dir = parent
	}
	return "", err
}

// describeSettings returns the comment of each setting and section, from the source of package settings and of those it imports.
func describeSettings() (map[string]string, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	d := describer{root: root, packages: map[string]*source{}, descriptions: map[string]string{}}
	if err := d.structure("cmd/weft/settings", "Config", ""); err != nil {
		return nil, err
	}
	return d.descriptions, nil
}

// source has the types of one package, and the import paths within the module by the names under which they are imported.
type source struct {
	types   map[string]*ast.TypeSpec
	imports map[string]string
	files   *token.FileSet
	// docs are the comments of types.
	docs map[string]string
}

type describer struct {
	root         string
	packages     map[string]*source
	descriptions map[string]string
}

// load parses a package of the module.
func (d *describer) load(dir string) (*source, error) {
	if s := d.packages[dir]; s != nil {
		return s, nil
	}
	s := &source{types: map[string]*ast.TypeSpec{}, imports: map[string]string{}, files: token.NewFileSet(), docs: map[string]string{}}
	files, err := fs.Glob(os.DirFS(filepath.Join(d.root, dir)), "*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		file, err := parser.ParseFile(s.files, filepath.Join(d.root, dir, name), nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		for _, i := range file.Imports {
			if path, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module); ok {
				s.imports[filepath.Base(path)] = path
			}
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok || general.Tok != token.TYPE {
				continue
			}
			for _, spec := range general.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					s.types[t.Name.Name] = t
					s.docs[t.Name.Name] = general.Doc.Text()
				}
			}
		}
	}
	d.packages[dir] = s
	return s, nil
}

// structure describes the fields of a struct whose settings begin with prefix. A field without a comment shares that of the field above.
func (d *describer) structure(dir, name, prefix string) error {
	s, err := d.load(dir)
	if err != nil {
		return err
	}
	spec := s.types[name]
	if spec == nil {
		return fmt.Errorf("package %s has no type %s", dir, name)
	}
	if selector, ok := spec.Type.(*ast.SelectorExpr); ok { // an alias
		return d.structure(s.imports[selector.X.(*ast.Ident).Name], selector.Sel.Name, prefix)
	}
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return fmt.Errorf("%s.%s is no struct", dir, name)
	}
	names := map[string]string{}
	for _, f := range fields.Fields.List {
		if key := koanfKey(f); key != "" {
			names[f.Names[0].Name] = key
		}
	}
	if section := strings.TrimSuffix(prefix, "."); section != "" && d.descriptions[section] == "" {
		d.descriptions[section] = describeSection(s.docs[name], name)
	}
	comment, line := "", 0
	for _, f := range fields.Fields.List {
		key := koanfKey(f)
		at := s.files.Position(f.Pos()).Line
		if f.Doc != nil {
			comment = describe(f.Doc.Text(), names)
		} else if at != line+1 {
			comment = ""
		}
		line = at
		if key == "" {
			continue
		}
		path := prefix + key
		d.descriptions[path] = comment
		if err := d.nested(dir, s, f.Type, path); err != nil {
			return err
		}
	}
	return nil
}

// nested describes the fields of a section, and of the values of a map.
func (d *describer) nested(dir string, s *source, t ast.Expr, path string) error {
	switch t := t.(type) {
	case *ast.MapType:
		d.descriptions[path+".*"] = d.descriptions[path]
		return d.nested(dir, s, t.Value, path+".*")
	case *ast.Ident:
		if spec := s.types[t.Name]; spec != nil {
			if _, ok := spec.Type.(*ast.StructType); ok {
				return d.structure(dir, t.Name, path+".")
			}
		}
	case *ast.SelectorExpr:
		other, ok := s.imports[t.X.(*ast.Ident).Name]
		if ok && strings.HasSuffix(t.Sel.Name, "Config") {
			return d.structure(other, t.Sel.Name, path+".")
		}
	}
	return nil
}

func koanfKey(f *ast.Field) string {
	if f.Tag == nil || len(f.Names) == 0 {
		return ""
	}
	key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("koanf"), ",")
	return strings.Trim(key, "-")
}

var identifier = regexp.MustCompile(`[A-Z][A-Za-z0-9]*`)

// describe joins the lines of a comment and writes the names of fields as those of settings.
func describe(comment string, names map[string]string) string {
	text := strings.Join(strings.Fields(comment), " ")
	return identifier.ReplaceAllStringFunc(text, func(word string) string {
		if key, ok := names[word]; ok {
			return "`" + key + "`"
		}
		return word
	})
}

// describeSection turns the comment of a section's type into a description of the section.
func describeSection(comment, name string) string {
	text := strings.TrimPrefix(describe(comment, nil), name+" ")
	for _, verb := range []string{"is ", "has ", "holds ", "configures ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// settingsDocuments returns descriptions.json of package settings and docs/settings.md.
func settingsDocuments(described map[string]string) (descriptions, reference []byte, err error) {
	if descriptions, err = json.MarshalIndent(described, "", "  "); err != nil {
		return nil, nil, err
	}
	var b strings.Builder
	b.WriteString("# Settings\n\nGenerated from the code by `make generate`; CI fails if it is not current.\n\n" +
		"A YAML file (`--config FILE` or `WEFT_CONFIG`) sets settings by name: `auth.access_ttl` is the key `access_ttl` of the mapping `auth`. " +
		"An environment variable overrides the file. Lists in variables are separated by commas; durations are such as `90s`, `15m` or `24h`. " +
		"`weft config` prints all settings with their values and checks them. In a name with `*`, and in its variable, the part " +
		"stands for a key of your choice, such as a provider's id.\n")
	section := "\x00"
	for _, s := range settings.List(described) {
		if top := s.Section(); top != section {
			section = top
			title := top
			if top == "" {
				title = "General"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| setting | type | default | meaning |\n| --- | --- | --- | --- |\n", title)
		}
		value := s.Default
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s | %s |\n", s.Path, s.Variable, s.Type, value, strings.ReplaceAll(cell(s.Doc), "<", "&lt;"))
	}
	return append(descriptions, '\n'), []byte(b.String()), nil
}
