package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	// maxLimit bounds the concurrency and the rate of a definition.
	maxLimit = 10_000
	// minPeriod and maxPeriod bound the period of a rate.
	minPeriod = time.Second
	maxPeriod = 31 * 24 * time.Hour
	// maxPriority bounds the amount of a priority, which may be negative.
	maxPriority = 100
)

// declaredLimits are what a definition declares as flow in document.metadata: how many of its executions run at once, how many
// start in a period, and which start first. Executions beyond a limit wait.
type declaredLimits struct {
	concurrency, rate *declaredLimit
	// priority is a number, or an expression over the input that gives one.
	priority any
}

// declaredLimit is one limit, counted separately for each value of its key.
type declaredLimit struct {
	most   int
	period time.Duration
	// key is an expression over the input, or a text; nil counts all executions of the workflow together.
	key any
}

// limitsReader decodes declared limits and collects their faults.
type limitsReader struct {
	source *language.Source
	faults language.Faults
}

// declaredLimitsOf returns a definition's limits, nil if it has none. Faults have positions if source is given.
func declaredLimitsOf(source *language.Source, w *language.Workflow) (*declaredLimits, language.Faults) {
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
			r.fault("/priority", language.CodeValue, fmt.Sprintf("must be a whole number from %d to %d, or an expression", -maxPriority, maxPriority))
		}
	}
	return l, r.faults
}

// limitFaults checks the limits that a definition declares.
func limitFaults(source *language.Source, w *language.Workflow) language.Faults {
	_, faults := declaredLimitsOf(source, w)
	return faults
}

func (r *limitsReader) fault(pointer, code, message string) {
	r.faults = append(r.faults, faultAt(r.source, pointerFlow+pointer, code, message))
}

// object returns a value's fields; a field that is not in known is a fault.
func (r *limitsReader) object(pointer string, value any, known ...string) map[string]any {
	fields, ok := value.(map[string]any)
	if !ok {
		r.fault(pointer, language.CodeType, "must be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			r.fault(pointer+"/"+escapePointer.Replace(name), language.CodeUnknownField,
				fmt.Sprintf("unknown field %.40q: expected one of %v%s", name, known, language.DidYouMean(name, known)))
		}
	}
	return fields
}

// limit reads the number and the key of a limit. fields is nil if the limit is not an object, which is reported already.
func (r *limitsReader) limit(pointer string, fields map[string]any) *declaredLimit {
	l := &declaredLimit{key: fields["key"]}
	value, has := fields["limit"]
	switch most, ok := wholeNumber(value, 1, maxLimit); {
	case !has && fields != nil:
		r.fault(pointer, language.CodeMissing, "limit is required")
	case has && !ok:
		r.fault(pointer+"/limit", language.CodeValue, fmt.Sprintf("must be a whole number from 1 to %d", maxLimit))
	default:
		l.most = most
	}
	switch text, isText := l.key.(string); {
	case isText && language.IsExpression(text):
		r.expression(pointer+"/key", text)
	case l.key != nil && !isText:
		r.fault(pointer+"/key", language.CodeType, "must be an expression over the input, or a text")
	}
	return l
}

func (r *limitsReader) expression(pointer, text string) {
	if err := language.CheckExpression(text); err != nil {
		r.fault(pointer, language.CodeExpression, err.Error())
	}
}

// period reads the period of a rate. fields is nil if the rate is not an object, which is reported already.
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
		err = errors.New("must be from one second to 31 days")
	}
	if err != nil {
		r.fault("/rate/period", language.CodeValue, err.Error())
	}
	return period
}

// wholeNumber returns a number as an int; false if it is not a whole one from least to most.
func wholeNumber(value any, least, most int) (int, bool) {
	number := math.NaN()
	switch value := value.(type) {
	case int:
		number = float64(value)
	case float64:
		number = value
	}
	// A json.Number has a fraction.
	if number != math.Trunc(number) || number < float64(least) || number > float64(most) { // NaN is not equal to itself
		return 0, false
	}
	return int(number), true
}

// Limits are the limits that apply to one execution. They are recorded with its start, so that its keys never change.
type Limits struct {
	// ConcurrencyKey names the executions that run under one concurrency limit with this one; empty: it has no such limit.
	ConcurrencyKey string `json:"concurrency_key,omitempty"`
	MaxConcurrent  int    `json:"max_concurrent,omitempty"`
	// RateKey names the executions whose starts count against one rate with this one's; empty: it has no such limit.
	RateKey string        `json:"rate_key,omitempty"`
	Rate    int           `json:"rate,omitempty"`
	Period  time.Duration `json:"period,omitempty"`
}

// LimitsOf returns the limits and the priority of a new execution, from its input as canonical JSON. The limits are nil if
// the workflow declares none. The error is invalid if an expression fails on the input: starting without the limit would
// circumvent it.
func LimitsOf(w *language.Workflow, workflowID, input string) (limits *Limits, priority int, err error) {
	declared, faults := declaredLimitsOf(nil, w)
	if declared == nil {
		return nil, 0, nil
	}
	if len(faults) > 0 {
		return nil, 0, fmt.Errorf("reading the limits of workflow %s: %w", workflowID, faults)
	}
	value, err := language.Decode([]byte(input))
	if err != nil {
		return nil, 0, fmt.Errorf("reading an input: %w", err)
	}
	if priority, err = priorityOf(w, declared.priority, value); err != nil {
		return nil, 0, err
	}
	if declared.concurrency == nil && declared.rate == nil {
		return nil, priority, nil
	}
	limits = &Limits{}
	if l := declared.concurrency; l != nil {
		limits.MaxConcurrent = l.most
		limits.ConcurrencyKey, err = l.keyOf(w, workflowID, "concurrency", value)
	}
	if l := declared.rate; err == nil && l != nil {
		limits.Rate, limits.Period = l.most, l.period
		limits.RateKey, err = l.keyOf(w, workflowID, "rate", value)
	}
	if err != nil {
		return nil, 0, err
	}
	return limits, priority, nil
}

// priorityOf evaluates a declared priority; 0 if it is nil or gives null.
func priorityOf(w *language.Workflow, declared, input any) (int, error) {
	result, err := w.Fill(declared, input, language.Scope{})
	if err != nil {
		return 0, invalidInput("priority", err.Error())
	}
	if result == nil {
		return 0, nil
	}
	priority, ok := wholeNumber(result, -maxPriority, maxPriority)
	if !ok {
		return 0, invalidInput("priority", fmt.Sprintf("it must be a whole number from %d to %d", -maxPriority, maxPriority))
	}
	return priority, nil
}

// keyOf evaluates a limit's key. The result is a digest, because the key's value is the user's data.
func (l *declaredLimit) keyOf(w *language.Workflow, workflowID, kind string, input any) (string, error) {
	key, err := w.Fill(l.key, input, language.Scope{})
	if err != nil {
		return "", invalidInput("key of the "+kind+" limit", err.Error())
	}
	sum := sha256.Sum256(append([]byte(workflowID+"\x00"+kind+"\x00"), language.Canonical(key)...))
	return hex.EncodeToString(sum[:16]), nil
}

func invalidInput(what, why string) error {
	return subjects.InvalidField("input", "the %s cannot be computed from it: %s", what, why)
}
