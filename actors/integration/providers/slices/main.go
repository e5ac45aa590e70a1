// Command slices prepares the descriptions of providers' APIs for tests. `make specs` fetches them; the cases in ../testdata
// name their sources. They are not part of the repository.
//
//	slices sources            prints one source per line: npm or git, package or repository, file
//	slices cut RAW INTO       writes INTO/PROVIDER.json (or .graphql): the operations that each manifest uses
//
// Descriptions are cut because whole ones take minutes to load: the 30 MB of Microsoft Graph become a few hundred kB.
// Operations keep their parameters and bodies, and lose their responses and examples.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

const cases = "actors/integration/providers/testdata"

// origin is a published file.
type origin struct {
	NPM  string `yaml:"npm"`
	Git  string `yaml:"git"`
	File string `yaml:"file"`
}

// from returns the kind of the source (npm or git) and its name.
func (o origin) from() (kind, name string) {
	if o.NPM != "" {
		return "npm", o.NPM
	}
	return "git", o.Git
}

// path returns where scripts/specs.sh stores the file, relative to its folder.
func (o origin) path() string {
	_, name := o.from()
	return filepath.Join(strings.ReplaceAll(strings.TrimPrefix(name, "@"), "/", "+"), o.File)
}

// wanted is the part of a provider's case that concerns its description.
type wanted struct {
	Description struct {
		From []origin `yaml:"from"`
		Keep []string `yaml:"keep"`
	} `yaml:"description"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "sources":
		err = sources()
	case len(os.Args) == 4 && os.Args[1] == "cut":
		err = cutAll(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: slices sources | slices cut RAW INTO")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "slices:", err)
		os.Exit(1)
	}
}

// described reads the cases of all providers that have a description.
func described() (map[string]wanted, error) {
	files, err := filepath.Glob(filepath.Join(cases, "*.yaml"))
	if err != nil {
		return nil, err
	}
	all := map[string]wanted{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var w wanted
		if err := yaml.Unmarshal(text, &w); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if len(w.Description.From) > 0 {
			all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = w
		}
	}
	return all, nil
}

// sources prints the sources of all descriptions.
func sources() error {
	all, err := described()
	if err != nil {
		return err
	}
	lines := map[string]bool{}
	for _, w := range all {
		for _, o := range w.Description.From {
			kind, name := o.from()
			lines[kind+" "+name+" "+o.File] = true
		}
	}
	_, err = fmt.Fprintln(os.Stdout, strings.Join(slices.Sorted(maps.Keys(lines)), "\n"))
	return err
}

// cutAll cuts the descriptions of all providers.
func cutAll(raw, into string) error {
	all, err := described()
	if err != nil {
		return err
	}
	loaded, _, err := manifest.LoadFS(providers.FS)
	if err != nil {
		return fmt.Errorf("loading manifests: %w", err)
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		p := loaded[id]
		if p == nil {
			return fmt.Errorf("the case %s has no manifest", id)
		}
		for i, o := range all[id].Description.From {
			name := id
			if i > 0 {
				name = fmt.Sprintf("%s-%d", id, i)
			}
			data, err := os.ReadFile(filepath.Join(raw, o.path()))
			if errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintf(os.Stderr, "slices: %s: %s was not fetched\n", id, o.path())
				continue
			}
			if err != nil {
				return err
			}
			if err := cutOne(p, data, o.File, filepath.Join(into, name), all[id].Description.Keep); err != nil {
				return fmt.Errorf("cutting %s of %s: %w", o.File, id, err)
			}
		}
	}
	return nil
}

// cutOne cuts one description and writes it to a file. The extension follows from the format.
func cutOne(p *manifest.Provider, data []byte, name, into string, keep []string) error {
	if strings.HasSuffix(name, ".graphql") {
		return os.WriteFile(into+".graphql", data, 0o600)
	}
	data, err := unzipped(data)
	if err != nil {
		return err
	}
	if text, ok := definitions(data); ok {
		return os.WriteFile(into+".graphql", []byte(text), 0o600)
	}
	doc, err := read(data)
	if err != nil {
		return err
	}
	templates := slices.Clone(keep)
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		templates = append(templates, a.Path)
		for _, step := range a.Before {
			templates = append(templates, step.Path)
		}
	}
	cut, err := json.MarshalIndent(cut(doc, templates), "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(into+".json", cut, 0o600)
}
