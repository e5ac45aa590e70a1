package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

const (
	pointerFlow = "/document/metadata/flow"
	// maxLimit bounds the limits of a definition, maxPeriod the time that a rate counts over.
	maxLimit  = 10_000
	minPeriod = time.Second
	maxPeriod = 31 * 24 * time.Hour
	// maxPriority bounds priorities, from its negative on.
	maxPriority = 100
)

// limits are what a definition declares in document.metadata.flow: how many of its executions go on at once, how many
// start in a time, and which come first. What is past a limit waits.
type declaredLimits struct {
	concurrency, rate *declaredLimit
	// priority is a number, or an expression over the input for one.
	priority any
}

// limit is one of them, counted for each value of its key.
type declaredLimit struct {
	most   int
	period time.Duration
	// key is an expression over the input, or a text; nil counts all executions of the workflow together.
	key any
}

// limitsReader reads limits, and notes what is wrong with them.
type limitsReader struct {
	source []byte
	faults language.Faults
}

// limitsOf reads a definition's limits; its faults have their places where the source is given. Nil: it has none.
func declaredLimitsOf(source []byte, w *language.Workflow) (*declaredLimits, language.Faults) {
	given, has := w.Document.Metadata["flow"]
	if !has {
		return nil, nil
	}
	r := &limitsReader{source: source}
	declared := r.object("", given, "concurrency", "rate", "priority")
	l := &declaredLimits{priority: declared["priority"]}
	if value, has := declared["concurrency"]; has {
		l.concurrency = r.limit("/concurrency", r.object("/concurrency", value, "limit", "key"))
	}
	if value, has := declared["rate"]; has {
		fields := r.object("/rate", value, "limit", "key", "period")
		l.rate = r.limit("/rate", fields)
		l.rate.period = r.period(fields)
	}
	switch text, isText := l.priority.(string); {
	case isText && language.IsExpression(text):
		r.expression("/priority", text)
	case l.priority != nil:
		if _, ok := wholeNumber(l.priority, -maxPriority, maxPriority); !ok {
			r.fault("/priority", language.CodeValue, fmt.Sprintf("a whole number from %d to %d, or an expression for one, is expected", -maxPriority, maxPriority))
		}
	}
	return l, r.faults
}

// flowFaults tells what is wrong with the limits that a definition declares.
func limitFaults(source []byte, w *language.Workflow) language.Faults {
	_, faults := declaredLimitsOf(source, w)
	return faults
}

func (r *limitsReader) fault(pointer, code, message string) {
	f := language.Fault{Pointer: pointerFlow + pointer, Code: code, Message: message}
	if r.source != nil {
		f.Line, f.Column = locate(r.source, f.Pointer)
	}
	r.faults = append(r.faults, f)
}

func (r *limitsReader) object(pointer string, value any, known ...string) map[string]any {
	fields, ok := value.(map[string]any)
	if !ok {
		r.fault(pointer, language.CodeType, "an object is expected")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			r.fault(pointer+"/"+name, language.CodeUnknownField, fmt.Sprintf("the field %.40q is not known here: %v are", name, known))
		}
	}
	return fields
}

func (r *limitsReader) limit(pointer string, fields map[string]any) *declaredLimit {
	l := &declaredLimit{key: fields["key"]}
	value, has := fields["limit"]
	switch most, ok := wholeNumber(value, 1, maxLimit); {
	case !has && fields != nil:
		r.fault(pointer, language.CodeMissing, "limit is required")
	case has && !ok:
		r.fault(pointer+"/limit", language.CodeValue, fmt.Sprintf("a whole number from 1 to %d is expected", maxLimit))
	default:
		l.most = most
	}
	switch text, isText := l.key.(string); {
	case isText && language.IsExpression(text):
		r.expression(pointer+"/key", text)
	case l.key != nil && !isText:
		r.fault(pointer+"/key", language.CodeType, "an expression over the input, or a text, is expected")
	}
	return l
}

func (r *limitsReader) expression(pointer, text string) {
	if err := language.CheckExpression(text); err != nil {
		r.fault(pointer, language.CodeExpression, err.Error())
	}
}

func (r *limitsReader) period(fields map[string]any) time.Duration {
	value, has := fields["period"]
	if !has {
		if fields != nil {
			r.fault("/rate", language.CodeMissing, "period is required")
		}
		return 0
	}
	period, err := language.DurationOf(value)
	if err == nil && (period < minPeriod || period > maxPeriod) {
		err = fmt.Errorf("must be from one second to 31 days")
	}
	if err != nil {
		r.fault("/rate/period", language.CodeValue, err.Error())
	}
	return period
}

// wholeNumber is a value as a whole number within bounds.
func wholeNumber(value any, least, most int) (int, bool) {
	number := math.NaN()
	switch value := value.(type) {
	case int:
		number = float64(value)
	case float64:
		number = value
	}
	if number != math.Trunc(number) || number < float64(least) || number > float64(most) {
		return 0, false // NaN is not equal to itself
	}
	return int(number), true
}

// terms are the limits that one execution goes by. They are in the log with its start: keys are not made twice.
type Limits struct {
	// Lane and Pace name what its concurrency and its rate are counted with; empty: it has no such limit.
	ConcurrencyKey string        `json:"concurrency_key,omitempty"`
	MaxConcurrent  int           `json:"max_concurrent,omitempty"`
	RateKey        string        `json:"rate_key,omitempty"`
	Rate           int           `json:"rate,omitempty"`
	Period         time.Duration `json:"period,omitempty"`
}

// termsOf are a new execution's terms and its priority. Nil: its workflow limits nothing.
func LimitsOf(w *language.Workflow, workflowID, input string) (t *Limits, priority int, err error) {
	l, faults := declaredLimitsOf(nil, w)
	if l == nil {
		return nil, 0, nil
	}
	if len(faults) > 0 {
		return nil, 0, fmt.Errorf("reading the limits of workflow %s: %w", workflowID, faults)
	}
	value, err := language.Decode([]byte(input))
	if err != nil {
		return nil, 0, fmt.Errorf("reading an input: %w", err)
	}
	got, err := w.Fill(l.priority, value, language.Scope{})
	if err != nil {
		return nil, 0, invalidInput("priority", err.Error())
	}
	if got != nil {
		whole, ok := wholeNumber(got, -maxPriority, maxPriority)
		if !ok {
			return nil, 0, invalidInput("priority", fmt.Sprintf("it is no whole number from %d to %d", -maxPriority, maxPriority))
		}
		priority = whole
	}
	if l.concurrency == nil && l.rate == nil {
		return nil, priority, nil
	}
	t = &Limits{}
	if l.concurrency != nil {
		t.MaxConcurrent = l.concurrency.most
		t.ConcurrencyKey, err = l.concurrency.name(w, workflowID, "concurrency", value)
	}
	if err == nil && l.rate != nil {
		t.Rate, t.Period = l.rate.most, l.rate.period
		t.RateKey, err = l.rate.name(w, workflowID, "rate", value)
	}
	if err != nil {
		return nil, 0, err
	}
	return t, priority, nil
}

// name is what executions are counted under that have the same key. It does not tell the key, which is the user's.
func (l *declaredLimit) name(w *language.Workflow, workflowID, kind string, input any) (string, error) {
	key, err := w.Fill(l.key, input, language.Scope{})
	if err != nil {
		return "", invalidInput("key of the "+kind+" limit", err.Error())
	}
	sum := sha256.Sum256(append([]byte(workflowID+"\x00"+kind+"\x00"), language.Canonical(key)...))
	return hex.EncodeToString(sum[:16]), nil
}

// unfit refuses an input that the workflow's limits cannot be applied to: to start it past them would ignore them.
func invalidInput(what, why string) error {
	return subjects.InvalidField("input", "the %s cannot be made of it: %s", what, why)
}
