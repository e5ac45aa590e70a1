package notification

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/notification/template"
)

const (
	// maxCachedTemplates and maxCachedTemplateBytes bound the parsed versions that a process keeps.
	maxCachedTemplates     = 512
	maxCachedTemplateBytes = 32 << 20
	// maxCachedVariants bounds the templates whose variants a process keeps.
	maxCachedVariants = 1024
)

// templateCatalog finds templates as they were at a revision, and keeps what it has read and parsed. Versions do not change, and neither
// does what was current at a revision, until a version is no longer kept; the newest revision is read for each notification.
type templateCatalog struct {
	actors.Deps

	store   templateStore
	config  TemplatesConfig
	shipped map[string]map[variantKey]variant
	// variants are those of a template at a revision.
	variants *lru.Cache[string, map[variantKey]variant]
	// sets are parsed versions.
	sets *actors.WeighedCache[setKey, *template.Set]
}

// setKey names a version of a variant.
type setKey struct {
	id string
	variantKey
	version int
}

func newTemplateCatalog(d actors.Deps, c TemplatesConfig) (*templateCatalog, error) {
	t := &templateCatalog{Deps: d, store: templateStore{d.DB}, config: c, shipped: map[string]map[variantKey]variant{}}
	sets, err := template.Shipped()
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if t.shipped[set.Name] == nil {
			t.shipped[set.Name] = map[variantKey]variant{}
		}
		key := variantKey{locale: set.Locale.String()}
		t.shipped[set.Name][key] = variant{variantKey: key, id: set.Name, kind: set.Kind, uses: usesOf(set), set: set}
	}
	t.sets = actors.NewWeighedCache[setKey](maxCachedTemplates, maxCachedTemplateBytes, (*template.Set).Size)
	t.variants, err = lru.New[string, map[variantKey]variant](maxCachedVariants)
	return t, err
}

// at returns the variants of a template at a revision, those that weft ships included; empty if there is no such template. The map must
// not be changed.
func (t *templateCatalog) at(ctx context.Context, id string, revision int64) (map[variantKey]variant, error) {
	key := strconv.FormatInt(revision, 36) + " " + id
	if variants, cached := t.variants.Get(key); cached {
		return variants, nil
	}
	rows, err := t.store.variantsAt(ctx, id, revision)
	if err != nil {
		return nil, err
	}
	graph, err := t.graph(rows, id)
	if err != nil {
		return nil, err
	}
	if len(graph[id]) > 0 { // names of templates that are not there are not kept: callers choose them
		t.variants.Add(key, graph[id])
	}
	return graph[id], nil
}

// graph returns the variants of rows together with what weft ships: of one template, or of all where id is empty.
func (t *templateCatalog) graph(rows []templateRow, id string) (templateGraph, error) {
	g := templateGraph{}
	put := func(v variant) {
		if g[v.id] == nil {
			g[v.id] = map[variantKey]variant{}
		}
		g[v.id][v.variantKey] = v
	}
	for name, variants := range t.shipped {
		if id != "" && name != id {
			continue
		}
		for _, v := range variants {
			put(v)
		}
	}
	for _, row := range rows {
		if row.Deleted {
			continue
		}
		v, err := row.variant()
		if err != nil {
			return nil, err
		}
		put(v)
	}
	return g, nil
}

// compiled returns the parsed version of a variant.
func (t *templateCatalog) compiled(ctx context.Context, v variant) (*template.Set, error) {
	if v.set != nil {
		return v.set, nil
	}
	key := setKey{v.id, v.variantKey, v.version}
	if set, cached := t.sets.Get(key); cached {
		return set, nil
	}
	row, err := t.store.templateVersion(ctx, v.id, v.variantKey, v.version)
	if err != nil {
		return nil, err
	}
	set, err := row.compile()
	if err == nil {
		t.sets.Add(key, set)
	}
	return set, err
}

// compile parses a stored version.
func (r templateRow) compile() (*template.Set, error) {
	var c templateContent
	v, err := r.variant()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(r.Content), &c); err != nil {
		return nil, fmt.Errorf("reading a template: %w", err)
	}
	return template.Compile(template.Sources{
		Name: r.TemplateID, Kind: r.Kind, Locale: language.Make(r.Locale), Subject: c.Subject, HTML: c.HTML, Text: c.Text,
		Layout: v.uses.Layout, Strict: v.uses.Strict,
	})
}

// find returns a function that finds the partials and layouts of a template in a locale, at a revision.
func (t *templateCatalog) find(ctx context.Context, locale string, revision int64) template.Find {
	return func(name, kind string) (*template.Set, error) {
		variants, err := t.at(ctx, name, revision)
		if err != nil {
			return nil, &lookupError{err}
		}
		v, known := choose(variants, locale, t.config.DefaultLocale, "")
		if !known || v.kind != kind {
			return nil, fmt.Errorf("there is no %s %q", kind, name)
		}
		set, err := t.compiled(ctx, v)
		if err != nil {
			return nil, &lookupError{err}
		}
		return set, nil
	}
}

// lookupError is an error of the database while a partial is looked up: it is none of the template.
type lookupError struct{ error }

// Unwrap returns the cause.
func (e *lookupError) Unwrap() error { return e.error }
