package language

import (
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/pattern"
	"github.com/weftmesh/weft/actors/schema"
)

// Workflow is a definition. It is immutable once parsed and safe for concurrent use.
type Workflow struct {
	Document Document
	Input    *Input
	Use      Use
	Do       TaskList
	Timeout  *Timeout
	Output   *Output
	Schedule *Schedule
	// Loose is set if evaluate.mode is loose: every string is evaluated as an expression, and taken literally if that
	// fails. In strict mode, the default, only `${ … }` is an expression.
	Loose bool
	// Digest is "sha256:" and the hex digest of Canonical. YAML and JSON with the same content have the same digest.
	Digest string
	// Canonical is the definition as JSON with sorted keys and without white space.
	Canonical []byte
	// Definition is the document as a JSON value, as expressions read it in $workflow.definition. It must not be
	// changed.
	Definition map[string]any

	tasks       map[string]*Task
	count       int
	unsupported Faults
	warnings    Faults
	references  []Reference
	expressions expressionCache
	patterns    pattern.Cache
	weight      int
}

// Document identifies and describes a definition.
type Document struct {
	DSL, Namespace, Name, Version, Title, Summary string
	Tags, Metadata                                map[string]any
}

// Use holds the components that a definition refers to by name.
type Use struct {
	Authentications map[string]*Authentication
	Errors          map[string]*ErrorDefinition
	Extensions      []*Extension
	Functions       map[string]*Task
	Retries         map[string]*RetryPolicy
	Secrets         []string
	Timeouts        map[string]*Timeout
	Catalogs        map[string]Endpoint
}

// Extension runs tasks before and after tasks of one kind, if When holds. The tasks before receive the input of the
// extended task and do not change it, unless one of them exits: then its output replaces the extended task. The tasks
// after receive the extended task's output and do not change it. In all of them, $task is the extended task.
type Extension struct {
	Name, Extend, When string
	Before, After      TaskList
}

// Input configures the input of a workflow or a task. From is a string (an expression), an object, or nil.
type Input struct {
	Schema *Schema
	From   any
}

// Output configures the output of a workflow or a task. As is a string (an expression), an object, or nil.
type Output struct {
	Schema *Schema
	As     any
}

// Export configures the context that a task exports. As is a string (an expression), an object, or nil.
type Export struct {
	Schema *Schema
	As     any
}

// Schema is an inline JSON Schema. An external resource is one of References.
type Schema struct {
	Format   string
	Document any
	Resource *Endpoint
	Pointer  string

	compiled *schema.Schema
}

// Schedule says when a workflow is started: by each of Every, After, Cron and On that is set.
type Schedule struct {
	Every, After *Duration
	Cron         string
	On           *Consumption
	Read         string
}

// Timeout limits the duration of a workflow or a task.
type Timeout struct {
	After Duration
}

// Endpoint is a URI, a URI template, or an expression for a URI, with the authentication to use.
type Endpoint struct {
	URI            string
	Authentication *Authentication
}

// Authentication is a policy, or a reference to one of use.authentications (Use). Secret is the name of the secret that
// holds the values of the policy.
type Authentication struct {
	Use string
	// Scheme is basic, bearer, digest, oauth2 or oidc.
	Scheme string
	Secret string
	// Parameters are the values of the policy as written in the definition; strings may be expressions.
	Parameters map[string]any
	Pointer    string
}

// ErrorDefinition is the error of a raise task. Strings may be expressions; Status is an int or an expression.
type ErrorDefinition struct {
	Type, Title, Detail, Instance string
	Status                        any
}

// Task returns the task at a JSON pointer of the definition, or nil.
func (w *Workflow) Task(pointer string) *Task { return w.tasks[pointer] }

// Pointers are the pointers of all tasks, sorted.
func (w *Workflow) Pointers() []string { return slices.Sorted(maps.Keys(w.tasks)) }

// Tasks returns the number of tasks, including nested ones and functions.
func (w *Workflow) Tasks() int { return w.count }

// Each visits every task of the definition, including nested ones, functions, and those of extensions.
func (w *Workflow) Each(visit func(*Task)) {
	for _, pointer := range w.Pointers() {
		if task := w.tasks[pointer]; task.Kind != KindExtension {
			visit(task)
		}
	}
}

// Weight is about how many bytes of memory the definition takes, with what is compiled of it.
func (w *Workflow) Weight() int { return w.weight }

// The weight of a definition: for each byte of its text, for each expression, and for each object of a schema, of which there can be
// several compiled instances.
const (
	byteWeight       = 24
	expressionWeight = 16 << 10
	schemaWeight     = 8 << 10
)

// Warnings returns what a definition most probably does not mean as it is written, in the order of the source. It does not
// keep the definition from being created.
func (w *Workflow) Warnings() Faults { return w.warnings }

// Unsupported returns a fault for each construct that the specification defines and weft does not implement, in the
// order of the source. A definition with any of them must be rejected.
func (w *Workflow) Unsupported() Faults { return w.unsupported }
