package definition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// FetchTimeout bounds the fetching of all documents that one definition refers to.
	FetchTimeout = 10 * time.Second
	// MaxFetched bounds each of them, in bytes.
	MaxFetched = 256 << 10
)

// Fetch reads a document by its URI. An error that is a *machine.Error is shown to the author; any other is internal.
type Fetch func(ctx context.Context, uri string) ([]byte, error)

// Sources are what a definition is checked against besides its own text.
type Sources struct {
	Fetch Fetch
	// Providers finds the providers whose actions the definition calls; without it, actions are not checked.
	Providers Providers
	// Extensions finds the extensions whose functions the definition calls. The versions that it is checked with are added to Pinned, which
	// must not be nil then, by the functions' names.
	Extensions Extensions
	Pinned     map[string]string
	// Author is the user who sent the definition.
	Author string
}

// Resolve inspects a definition after replacing its references to other documents, schemas and functions, by what Fetch
// returns for them; the fetched functions may refer to more. The workflow that it returns refers to nothing outside itself.
// Faults have positions in source: those of a fetched function are at the reference to it.
func Resolve(ctx context.Context, source []byte, sources Sources) (*language.Workflow, language.Faults) {
	i := &inspector{providers: sources.Providers, extensions: sources.Extensions, pinned: sources.Pinned, author: sources.Author}
	w, faults := i.inspect(ctx, source)
	if w != nil {
		return w, nil
	}
	parsed, wrong := i.parse(ctx, source)
	if len(wrong) > 0 || len(parsed.References()) == 0 {
		return nil, faults
	}
	if rest := withoutReferences(parsed, faults); len(rest) > 0 {
		return nil, rest
	}
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	r := resolver{fetch: sources.Fetch, source: language.ReadSource(source), fetched: map[string][]byte{}, origins: map[string]string{}}
	for next := parsed; ; {
		if faults := r.fetchAll(ctx, next); len(faults) > 0 {
			return nil, r.located(faults)
		}
		whole, faults := language.Inline(next, r.fetched)
		if len(faults) > 0 {
			return nil, r.located(faults)
		}
		if w, faults = i.inspect(ctx, whole); w != nil {
			return w, nil
		}
		if next, wrong = i.parse(ctx, whole); len(wrong) > 0 || len(next.References()) == 0 || len(withoutReferences(next, faults)) > 0 {
			return nil, r.located(faults)
		}
	}
}

// resolver resolves the references of one definition.
type resolver struct {
	fetch   Fetch
	source  *language.Source
	fetched map[string][]byte
	// origins are the pointers in the source at which fetched functions are first referred to, by the functions' names.
	origins map[string]string
}

// fetchAll fetches what a definition refers to and has not been fetched before.
func (r *resolver) fetchAll(ctx context.Context, w *language.Workflow) language.Faults {
	for _, reference := range w.References() {
		if name := reference.Function; name != "" && r.origins[name] == "" {
			r.origins[name], _ = r.origin(reference.Pointer)
		}
		if _, known := r.fetched[reference.URI]; known {
			continue
		}
		var problem string
		if len(r.fetched) == language.MaxReferences {
			problem = fmt.Sprintf("a definition refers to at most %d other documents", language.MaxReferences)
		} else if text, err := r.fetch(ctx, reference.URI); err != nil {
			problem = "cannot fetch " + reference.URI + ": " + fetchProblem(err)
		} else {
			r.fetched[reference.URI] = text
		}
		if problem != "" {
			return language.Faults{{Pointer: reference.Pointer, Code: language.CodeReference, Message: problem}}
		}
	}
	return nil
}

// origin maps a pointer of the resolved definition to one of the source. For a pointer into a fetched function, that is the
// reference to the function, whose name is returned as well.
func (r *resolver) origin(pointer string) (at, function string) {
	rest, in := strings.CutPrefix(pointer, "/use/functions/")
	if !in {
		return pointer, ""
	}
	token, _, _ := strings.Cut(rest, "/")
	function = unescapePointer.Replace(token)
	if at, known := r.origins[function]; known {
		return at, function
	}
	return pointer, ""
}

// located gives faults of the resolved definition their positions in the source.
func (r *resolver) located(faults language.Faults) language.Faults {
	for i := range faults {
		f := &faults[i]
		at, function := r.origin(f.Pointer)
		if function != "" {
			f.Pointer, f.Message = at, "in "+function+": "+f.Message
		}
		f.Line, f.Column = r.source.Position(f.Pointer)
	}
	return faults
}

// fetchProblem returns why a document could not be fetched, as the author may read it.
func fetchProblem(err error) string {
	var fault *machine.Error
	if errors.As(err, &fault) {
		return fault.Detail
	}
	return "an internal error occurred"
}

// withoutReferences returns the faults that remain when every reference is resolved.
func withoutReferences(w *language.Workflow, faults language.Faults) (rest language.Faults) {
	for _, fault := range faults {
		if fault.Code != language.CodeUnsupported || !isReference(w, fault.Pointer) {
			rest = append(rest, fault)
		}
	}
	return rest
}

// isReference reports whether a pointer is that of a call or a schema by reference.
func isReference(w *language.Workflow, pointer string) bool {
	for _, reference := range w.References() {
		if strings.TrimPrefix(pointer, reference.Pointer) == "/call" || strings.TrimPrefix(pointer, reference.Pointer) == "/resource" {
			return true
		}
	}
	return false
}
