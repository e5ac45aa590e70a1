package extension

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// Keys of the metadata of an endpoint.
const (
	keyPrefix    = "weft."
	keyInput     = "weft.input"
	keyOutput    = "weft.output"
	keySafety    = "weft.safety"
	keyTimeout   = "weft.timeout"
	keyHeartbeat = "weft.heartbeat"
	keyScope     = "weft.scope"
	keySummary   = "weft.summary"
	// keyQueueGroup is added to the metadata of an endpoint without a queue group.
	keyQueueGroup = "weft.queue_group"
)

var keys = []string{keyHeartbeat, keyInput, keyOutput, keySafety, keyScope, keySummary, keyTimeout}

var (
	functionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	// ownScope matches the scopes of an operator's own purposes.
	ownScope = regexp.MustCompile(`^x\.[a-z0-9_]+([.][a-z0-9_]+)*$`)
)

// maxScope bounds a scope, in bytes.
const maxScope = 100

// Function is one version of a function of an extension.
type Function struct {
	Namespace, Name string
	// Version is the digest of what calls depend on: the schemas, the safety and the scope. It is immutable: a change makes another version.
	Version string
	Summary string
	// Input is the JSON Schema of the arguments, Output that of the output; nil: any output.
	Input, Output map[string]any
	// Safety says whether a call may be repeated. Of an idempotent one, the extension recognises repetitions by the call key.
	Safety egress.Safety
	// Timeout bounds an attempt from its start, and from each of its heartbeats. Heartbeat is the longest time between two messages of an
	// attempt; zero: it sends none.
	Timeout, Heartbeat time.Duration
	// Scope is what the user must consent to.
	Scope string
	// Fault is what is wrong with the declaration; such a function cannot be called.
	Fault string
	// Copies is how many copies of the extension serve this version.
	Copies int

	input, output *language.Schema
	metadata      map[string]string
	// service is the version of the newest copy that serves it.
	service string
}

// FullName is the name by which workflows call the function.
func (f *Function) FullName() string { return f.Namespace + "." + f.Name }

// parseFunction reads the metadata of an endpoint. A fault is in the function.
func parseFunction(namespace, name string, metadata map[string]string, maxTimeout time.Duration) *Function {
	f := &Function{
		Namespace: namespace, Name: name, Safety: egress.WriteOnce, Timeout: min(defaultTimeout, maxTimeout),
		Scope: subjects.ScopeWorkflowsExecute, metadata: metadata,
	}
	if err := f.read(metadata, maxTimeout); err != nil {
		f.Fault, f.input, f.output, f.Input, f.Output = text(err.Error(), MaxErrorText), nil, nil, nil, nil
	}
	f.Version = f.digest()
	return f
}

func (f *Function) read(metadata map[string]string, maxTimeout time.Duration) (err error) {
	if !functionName.MatchString(f.Name) {
		return fmt.Errorf("the name %.80q must be a lower-case letter, then at most 63 lower-case letters, digits and _", f.Name)
	}
	if metadata[keyQueueGroup] != "" {
		return errors.New("the endpoint has no queue group, so that every copy would do a call")
	}
	for key := range metadata {
		if strings.HasPrefix(key, keyPrefix) && !slices.Contains(keys, key) {
			return fmt.Errorf("%.80q is not one of the keys %s", key, strings.Join(keys, ", "))
		}
	}
	f.Summary = text(metadata[keySummary], MaxSummary)
	if metadata[keyInput] == "" {
		return fmt.Errorf("%s, the JSON Schema of the arguments, is missing", keyInput)
	}
	if f.Input, f.input, err = readSchema(keyInput, metadata[keyInput]); err != nil {
		return err
	}
	if metadata[keyOutput] != "" {
		if f.Output, f.output, err = readSchema(keyOutput, metadata[keyOutput]); err != nil {
			return err
		}
	}
	switch safety := metadata[keySafety]; safety {
	case "", "write-once", string(egress.WriteOnce):
	case string(egress.Read), string(egress.Idempotent):
		f.Safety = egress.Safety(safety)
	default:
		return fmt.Errorf("%s is %.40q, and must be read, idempotent or write-once", keySafety, safety)
	}
	if scope := metadata[keyScope]; scope != "" {
		if len(scope) > maxScope || !slices.Contains(subjects.Scopes(), scope) && !ownScope.MatchString(scope) {
			return fmt.Errorf("%s is %.80q, and must be one of %s, or an own scope such as x.orders", keyScope, scope, strings.Join(subjects.Scopes(), ", "))
		}
		f.Scope = scope
	}
	if f.Timeout, err = readDuration(metadata, keyTimeout, f.Timeout, MinTimeout, maxTimeout); err != nil {
		return err
	}
	f.Heartbeat, err = readDuration(metadata, keyHeartbeat, 0, MinHeartbeat, f.Timeout)
	return err
}

func readSchema(key, document string) (map[string]any, *language.Schema, error) {
	if len(document) > MaxSchema {
		return nil, nil, fmt.Errorf("%s has %d bytes, the limit is %d", key, len(document), MaxSchema)
	}
	value, err := language.DecodeStrict([]byte(document))
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not JSON: %w", key, err)
	}
	object, isObject := value.(map[string]any)
	if !isObject {
		return nil, nil, fmt.Errorf("%s must be a JSON object", key)
	}
	compiled, err := language.NewSchema(object)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not a JSON Schema: %w", key, err)
	}
	return object, compiled, nil
}

func readDuration(metadata map[string]string, key string, usual, least, most time.Duration) (time.Duration, error) {
	value := metadata[key]
	if value == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		return usual, fmt.Errorf("%s is %.40q, and must be a duration such as 30s, from %s to %s", key, value, least, most)
	}
	return d, nil
}

// digest is the version of the function: "sha256:" and 32 hex digits.
func (f *Function) digest() string {
	var output any
	if f.Output != nil {
		output = f.Output
	}
	sum := sha256.Sum256(language.Canonical(map[string]any{
		"input": any(f.Input), "output": output, "safety": string(f.Safety), "scope": f.Scope, "fault": f.Fault,
	}))
	return "sha256:" + hex.EncodeToString(sum[:16])
}

// text is a text of an extension's as it is stored and shown: of at most limit bytes, valid UTF-8, without control characters.
func text(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*limit)], ""))
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// callable returns a fault if the function cannot be called.
func (f *Function) callable() error {
	if f.Fault == "" {
		return nil
	}
	return machine.NewError(machine.TypeConfiguration, fmt.Sprintf("%s cannot be called: %s", f.FullName(), f.Fault))
}

// Size is the size of the function's declaration, in bytes.
func (f *Function) Size() (bytes int) {
	for key, value := range f.metadata {
		bytes += len(key) + len(value)
	}
	return bytes
}

// CheckInput returns a fault if arguments do not match the function's schema, or if that cannot be decided within the budget.
func (f *Function) CheckInput(arguments map[string]any) error {
	if err := f.input.Validate(arguments, nil); err != nil {
		return machine.NewError(machine.TypeValidation, f.FullName()+": the arguments do not match its input schema: "+text(err.Error(), MaxErrorText))
	}
	return nil
}

// CheckOutput returns a fault if an output does not match the function's schema, or if that cannot be decided within the budget.
func (f *Function) CheckOutput(output any) error {
	if err := f.output.Validate(output, nil); err != nil {
		fault := machine.NewError(machine.TypeCommunication, f.FullName()+": the answer does not match its output schema: "+text(err.Error(), MaxErrorText))
		fault.Status = http.StatusBadGateway
		return fault
	}
	return nil
}
