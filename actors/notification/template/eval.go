package template

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
)

// MaxMissing bounds the missing variables that one rendering reports.
const MaxMissing = 100

// Missing is a variable that a template uses and the data lacks.
type Missing struct {
	Name, Template, Part string
	Line, Column         int
}

// Env is what a template is rendered with.
type Env struct {
	// Name is the template's name, for errors.
	Name string
	// Data has the variables.
	Data *Object
	// Budget bounds the rendering: a step for each element and each 16 bytes of a text or number that a helper reads, a byte for each that is written.
	Budget *budget.Budget
	// Partial returns a partial for a part; it must be one that was parsed as such. The error's text names the cause.
	Partial func(name string) (*Template, error)
	// Locale is the reader's: numbers and dates are written in its form where it has the language of the template.
	Locale language.Tag
	// Zone is the zone of dates that name none; LoadZone returns one by its IANA name.
	Zone     *time.Location
	LoadZone func(name string) (*time.Location, error)
	// Missing collects the missing variables, each once, at most MaxMissing.
	Missing *[]Missing
}

// evaluation is the state of rendering one source.
type evaluation struct {
	env      *Env
	template *Template
	name     string
	partials []string
	out      strings.Builder
}

// frame is the context at one point of the template.
type frame struct {
	context any
	parent  *frame
	root    any
	loop    *loop
}

// loop has the variables of an each.
type loop struct {
	parent      *loop
	index       int
	key         any
	first, last bool
}

// value is that of @index, @key, @first or @last.
func (l *loop) value(name string) any {
	switch name {
	case "index":
		return number(strconv.Itoa(l.index))
	case "first":
		return l.first
	case "last":
		return l.last
	}
	if l.key == nil {
		return number(strconv.Itoa(l.index))
	}
	return l.key
}

// Render renders a template. The error is an *Error.
func (t *Template) Render(env Env) (string, error) {
	e := &evaluation{env: &env, template: t, name: env.Name, partials: []string{env.Name}}
	root := any(env.Data)
	if env.Data == nil {
		root = &Object{}
	}
	if err := e.program(t.program, &frame{context: root, root: root}); err != nil {
		return "", err
	}
	if t.options.Part == Subject {
		return oneLine(e.out.String()), nil
	}
	return e.out.String(), nil
}

// fail returns an error at an offset of the source.
func (e *evaluation) fail(offset int, err error) error {
	var inner *Error
	if errors.As(err, &inner) {
		return err
	}
	failed := &Error{Template: e.name, Part: e.template.options.Part, Message: err.Error(), Cause: err}
	var exhausted *budget.Error
	if errors.As(err, &exhausted) {
		failed.Message = "the template takes too many " + exhausted.Bound
		if exhausted.Bound == "time" {
			failed.Message = "the template takes too long"
		}
	}
	failed.Line, failed.Column = position(e.template.source, offset)
	return failed
}

// write adds to the output.
func (e *evaluation) write(text string) error {
	if err := e.env.Budget.Allocate(len(text)); err != nil {
		return err
	}
	e.out.WriteString(text)
	return nil
}

func (e *evaluation) program(p *program, f *frame) error {
	for _, n := range p.body {
		if err := e.node(n, f); err != nil {
			return e.fail(n.offset, err)
		}
	}
	return nil
}

func (e *evaluation) node(n *node, f *frame) error {
	if err := e.env.Budget.Step(1); err != nil {
		return err
	}
	switch n.kind {
	case nodeContent:
		return e.write(n.value)
	case nodeValue:
		value, err := e.value(n.expression, f, false)
		if err != nil {
			return err
		}
		text, err := e.text(value)
		if err != nil {
			return err
		}
		if e.template.options.Part == HTML && !n.raw {
			text = escaped(text)
		}
		return e.write(text)
	case nodeBlock:
		return e.block(n, f)
	case nodePartial:
		return e.partial(n, f)
	case nodeComment:
	}
	return nil
}

func (e *evaluation) block(n *node, f *frame) error {
	condition := n.block == "if" || n.block == "unless"
	value, err := e.value(n.expression, f, condition)
	if err != nil {
		return err
	}
	holds := !empty(value, n.zero && condition)
	switch n.block {
	case "unless":
		holds = !holds
	case "with":
		holds = !empty(value, true)
		f = f.enter(value, holds)
	case "each":
		return e.each(n, f, value)
	}
	if holds {
		return e.program(n.program, f)
	}
	return e.inverse(n, f)
}

func (e *evaluation) inverse(n *node, f *frame) error {
	if n.inverse == nil {
		return nil
	}
	return e.program(n.inverse, f)
}

// enter returns the frame of a value as the context. A context that is already the current one is not entered again.
func (f *frame) enter(value any, holds bool) *frame {
	if !holds || same(value, f.context) {
		return f
	}
	return &frame{context: value, parent: f, root: f.root, loop: f.loop}
}

func (e *evaluation) each(n *node, f *frame, value any) error {
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			if err := e.iteration(n, f, item, nil, i, len(v)); err != nil {
				return err
			}
		}
		if len(v) > 0 {
			return nil
		}
	case *Object:
		for i, name := range v.names {
			if err := e.iteration(n, f, v.values[name], name, i, len(v.names)); err != nil {
				return err
			}
		}
		if len(v.names) > 0 {
			return nil
		}
	}
	return e.inverse(n, f)
}

// iteration renders the body of an each once; key is nil for the items of a list.
func (e *evaluation) iteration(n *node, f *frame, item, key any, i, count int) error {
	if err := e.env.Budget.Step(1); err != nil {
		return err
	}
	inner := &frame{context: f.context, parent: f.parent, root: f.root}
	if !same(item, f.context) {
		inner.context, inner.parent = item, f
	}
	inner.loop = &loop{parent: f.loop, index: i, key: key, first: i == 0, last: i == count-1}
	return e.program(n.program, inner)
}

// partial renders a partial in a frame of its own: its `../` does not reach the template that uses it.
func (e *evaluation) partial(n *node, f *frame) error {
	context := f.context
	if n.expression != nil {
		value, err := e.value(n.expression, f, false)
		if err != nil {
			return err
		}
		context = value
	}
	if len(n.hash) > 0 {
		base, _ := context.(*Object)
		extended := base.with()
		if err := e.env.Budget.Step(len(extended.names)); err != nil {
			return err
		}
		for _, h := range n.hash {
			value, err := e.value(h.value, f, false)
			if err != nil {
				return err
			}
			extended.Set(h.name, value)
		}
		context = extended
	}
	for _, name := range e.partials {
		if name == n.name {
			return errors.New("the partial " + n.name + " uses itself")
		}
	}
	if len(e.partials) > MaxPartials {
		return errors.New("partials are nested more than " + strconv.Itoa(MaxPartials) + " deep")
	}
	t, err := e.env.Partial(n.name)
	if err != nil {
		return err
	}
	inner := &evaluation{env: e.env, template: t, name: n.name, partials: append(e.partials[:len(e.partials):len(e.partials)], n.name)}
	if err := inner.program(t.program, &frame{context: context, root: f.root, loop: f.loop}); err != nil {
		return err
	}
	return e.indented(inner.out.String(), n.indent)
}

// indented adds the text of a partial to the output, each line with an indent. The budget has the text already; it decides about the indents
// before they are written, since there may be many long ones.
func (e *evaluation) indented(text, indent string) error {
	lines := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		lines++
	}
	if err := e.env.Budget.Allocate(lines * len(indent)); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		e.out.WriteString(indent)
		e.out.WriteString(line)
	}
	return nil
}
