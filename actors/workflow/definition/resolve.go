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
	// fetchWithin bounds the fetching of all that one definition refers to, maxFetched each text, in bytes.
	FetchTimeout = 10 * time.Second
	MaxFetched   = 256 << 10
)

// complete is inspect with what the definition refers to elsewhere: schemas and functions become part of it, so that a version
// never changes. What they are fetched by is the guard's, as any outbound call.
func Resolve(
	ctx context.Context, source []byte, fetch func(ctx context.Context, uri string) ([]byte, error),
) (*language.Workflow, language.Faults) {
	w, faults := Inspect(source)
	if w != nil {
		return w, nil
	}
	parsed, wrong := language.Parse(source)
	if len(wrong) > 0 || len(parsed.References()) == 0 || len(withoutReferences(parsed, faults)) > 0 {
		return nil, faults
	}
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	c := resolver{fetch: fetch, source: source, fetched: map[string][]byte{}, origins: map[string]string{}}
	for next := parsed; ; {
		if faults := c.fetchAll(ctx, next); len(faults) > 0 {
			return nil, c.located(faults)
		}
		whole, faults := language.Inline(next, c.fetched)
		if len(faults) > 0 {
			return nil, c.located(faults)
		}
		if w, faults = Inspect(whole); w != nil {
			return w, nil
		}
		if next, wrong = language.Parse(whole); len(wrong) > 0 || len(next.References()) == 0 || len(withoutReferences(next, faults)) > 0 {
			return nil, c.located(faults)
		}
	}
}

// completion is one definition's.
type resolver struct {
	fetch   func(ctx context.Context, uri string) ([]byte, error)
	source  []byte
	fetched map[string][]byte
	// origins are the pointers in the source by which functions from elsewhere are referred to first, by their names.
	origins map[string]string
}

// fetchAll fetches what a definition refers to and was not fetched before.
func (c *resolver) fetchAll(ctx context.Context, w *language.Workflow) language.Faults {
	for _, reference := range w.References() {
		if name := reference.Function; name != "" && c.origins[name] == "" {
			c.origins[name], _ = c.origin(reference.Pointer)
		}
		if _, known := c.fetched[reference.URI]; known {
			continue
		}
		var problem string
		if len(c.fetched) == language.MaxReferences {
			problem = fmt.Sprintf("a definition refers to at most %d texts elsewhere", language.MaxReferences)
		} else if text, err := c.fetch(ctx, reference.URI); err != nil {
			problem = "what is at " + reference.URI + " cannot be had: " + fetchProblem(err)
		} else {
			c.fetched[reference.URI] = text
		}
		if problem != "" {
			return language.Faults{{Pointer: reference.Pointer, Code: language.CodeReference, Message: problem}}
		}
	}
	return nil
}

// origin is where the source refers to what is at a pointer of the whole: the function from elsewhere that it is in, where it is in one.
func (c *resolver) origin(pointer string) (at, function string) {
	rest, in := strings.CutPrefix(pointer, "/use/functions/")
	if !in {
		return pointer, ""
	}
	token, _, _ := strings.Cut(rest, "/")
	function = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	if at, known := c.origins[function]; known {
		return at, function
	}
	return pointer, ""
}

// placed are faults of the whole at their places in the source: what is wrong with a text from elsewhere is told where it is
// referred to.
func (c *resolver) located(faults language.Faults) language.Faults {
	for i := range faults {
		f := &faults[i]
		at, function := c.origin(f.Pointer)
		if function != "" {
			f.Pointer, f.Message = at, "in "+function+": "+f.Message
		}
		f.Line, f.Column = locate(c.source, f.Pointer)
	}
	return faults
}

// detailOfFetch is why a text could not be fetched, as its author is told.
func fetchProblem(err error) string {
	var fault *machine.Error
	if errors.As(err, &fault) {
		return fault.Detail
	}
	return "an internal error occurred"
}

// withoutReferences are the faults that stay once everything is there that a definition refers to.
func withoutReferences(w *language.Workflow, faults language.Faults) (rest language.Faults) {
	for _, fault := range faults {
		if fault.Code != language.CodeUnsupported || !refers(w, fault.Pointer) {
			rest = append(rest, fault)
		}
	}
	return rest
}

func refers(w *language.Workflow, pointer string) bool {
	for _, reference := range w.References() {
		if strings.TrimPrefix(pointer, reference.Pointer) == "/call" || strings.TrimPrefix(pointer, reference.Pointer) == "/resource" {
			return true
		}
	}
	return false
}
