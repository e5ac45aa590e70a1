package language

import (
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Workflow is one definition. It is immutable once parsed and safe for concurrent use.
type Workflow struct {
	Document Document
	Input    *Input
	Use      Use
	Do       TaskList
	Timeout  *Timeout
	Output   *Output
	Schedule *Schedule
	// Loose is true when evaluate.mode is loose: then every string is tried as an expression, and taken literally
	// when it is none. In strict mode, the default, only `${ … }` is an expression.
	Loose bool
	// Digest is "sha256:" and the hex digest of Canonical. YAML and JSON of the same content have the same digest.
	Digest string
	// Canonical is the definition as JSON with sorted keys and without white space.
	Canonical []byte
	// Definition is the document as a JSON value, as expressions see it in $workflow.definition. Do not change it.
	Definition map[string]any

	tasks       map[string]*Task
	count       int
	unsupported Faults
	references  []Reference
	expressions expressions
}

// Document names a definition.
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

// Extension adds tasks before and after tasks of one kind, where When holds. The tasks before get the input of the task
// extended, which gets it too, whatever they give; only where one of them says exit, its output stands in for the task.
// The tasks after get its output, and do not change it. In all of them, $task is the task extended.
type Extension struct {
	Name, Extend, When string
	Before, After      TaskList
}

// Input configures what a workflow or a task takes. From is a string (an expression), an object, or nil.
type Input struct {
	Schema *Schema
	From   any
}

// Output configures what a workflow or a task gives. As is a string (an expression), an object, or nil.
type Output struct {
	Schema *Schema
	As     any
}

// Export configures what a task adds to the context. As is a string (an expression), an object, or nil.
type Export struct {
	Schema *Schema
	As     any
}

// Schema is a JSON Schema, inline. An external resource is one of References.
type Schema struct {
	Format   string
	Document any
	Resource *Endpoint
	Pointer  string

	compiled *jsonschema.Schema
}

// Schedule says when a workflow is to be started. At most one of Every, Cron, After and On is set.
type Schedule struct {
	Every, After *Duration
	Cron         string
	On           *Consumption
	Read         string
}

// Timeout ends a workflow or a task that takes longer.
type Timeout struct {
	After Duration
}

// Endpoint is a URI or URI template, or an expression for one, with the authentication to use.
type Endpoint struct {
	URI            string
	Authentication *Authentication
}

// Authentication is a policy, or a reference to one of use.authentications (Use). Secret, inside a policy, names
// the secret that holds its values.
type Authentication struct {
	Use string
	// Scheme is basic, bearer, digest, oauth2 or oidc.
	Scheme string
	Secret string
	// Parameters are the policy's values as they stand in the definition; strings may be expressions.
	Parameters map[string]any
	Pointer    string
}

// ErrorDefinition is what raise throws. Strings may be expressions; Status is an int, or an expression.
type ErrorDefinition struct {
	Type, Title, Detail, Instance string
	Status                        any
}

// Task returns the task at a JSON pointer of the definition, or nil.
func (w *Workflow) Task(pointer string) *Task { return w.tasks[pointer] }

// Pointers are the pointers of all tasks, in order.
func (w *Workflow) Pointers() []string { return slices.Sorted(maps.Keys(w.tasks)) }

// Tasks returns how many tasks the definition has, nested ones and functions included.
func (w *Workflow) Tasks() int { return w.count }

// Each visits every task of the definition, nested ones, functions and those of extensions included.
func (w *Workflow) Each(visit func(*Task)) {
	for _, pointer := range w.Pointers() {
		if task := w.tasks[pointer]; task.Kind != KindExtension {
			visit(task)
		}
	}
}

// Unsupported returns one fault for each construct that the specification defines and weft does not run yet, in
// the order of the source. A definition with any of them must not be created.
func (w *Workflow) Unsupported() Faults { return w.unsupported }
