package language_test

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

const greeting = `
document: {dsl: 1.0.3, namespace: examples, name: greeting, version: 1.0.0}
do:
- greet:
    set:
      text: ${ "Hello, " + .name + "!" }
- send:
    call: slack.send_message
    with: {channel: general, text: '${ .text }'}
    timeout: {after: PT30S}
`

func ExampleParse() {
	workflow, faults := language.Parse([]byte(greeting))
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	fmt.Println(workflow.Document.Namespace, workflow.Document.Name, workflow.Document.Version)
	for _, task := range workflow.Do {
		fmt.Println(task.Name, task.Kind, task.Pointer)
	}
	fmt.Println(workflow.Task("/do/1/send").Timeout.After.Value)
	// Output:
	// examples greeting 1.0.0
	// greet set /do/0/greet
	// send call /do/1/send
	// 30s
}

func ExampleParse_faults() {
	_, faults := language.Parse([]byte(`
document: {dsl: 1.0.3, namespace: examples, name: broken, version: 1.0.0}
do:
- wait:
    wait: half an hour
- greet:
    set: {text: '${ .name | lenght }'}
    then: nowhere
    color: red
`))
	for _, fault := range faults {
		fmt.Println(fault.Line, fault.Column, fault.Pointer, fault.Code)
	}
	fmt.Println(faults[0].Message)
	// Output:
	// 5 11 /do/0/wait/wait value
	// 7 17 /do/1/greet/set/text expression
	// 8 11 /do/1/greet/then reference
	// 9 5 /do/1/greet/color unknown_field
	// "half an hour" is not an ISO 8601 duration
}

func ExampleWorkflow_Unsupported() {
	workflow, _ := language.Parse([]byte(`
document: {dsl: 1.0.3, namespace: examples, name: script, version: 1.0.0}
do:
- compute:
    run:
      script: {language: python, code: print(1)}
`))
	for _, fault := range workflow.Unsupported() {
		fmt.Println(fault)
	}
	// Output:
	// 6:15: /do/0/compute/run/script: run: script is not supported yet
}

func ExampleWorkflow_Evaluate() {
	workflow, _ := language.Parse([]byte(greeting))
	input := map[string]any{"items": []any{1, 2, 3}}
	scope := language.Scope{
		Values: map[string]any{"context": map[string]any{"factor": 10}},
		Now:    time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
	}
	for _, expression := range []string{`${ .items | add }`, `.items | map(. * $context.factor)`, `now | todate`, `$secrets.token`} {
		value, err := workflow.Evaluate(expression, input, scope)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(string(language.Canonical(value)))
	}
	// Output:
	// 6
	// [10,20,30]
	// "2026-11-01T12:00:00Z"
	// null
}

func ExampleWorkflow_Fill() {
	workflow, _ := language.Parse([]byte(greeting))
	template := map[string]any{"to": "${ .user.email }", "subject": "Welcome", "tags": []any{"${ .plan }", "new"}}
	input := map[string]any{"user": map[string]any{"email": "ada@example.com"}, "plan": "free"}
	value, err := workflow.Fill(template, input, language.Scope{})
	fmt.Println(string(language.Canonical(value)), err)
	// Output:
	// {"subject":"Welcome","tags":["free","new"],"to":"ada@example.com"} <nil>
}

func ExampleInline() {
	workflow, _ := language.Parse([]byte(`
document: {dsl: 1.0.3, namespace: examples, name: external, version: 1.0.0}
input: {schema: {resource: {endpoint: 'https://example.com/order.json'}}}
do:
- done: {set: {ok: true}}
`))
	for _, reference := range workflow.References() {
		fmt.Println(reference.Pointer, reference.URI)
	}
	source, _ := language.Inline(workflow, map[string][]byte{
		"https://example.com/order.json": []byte(`{"type": "object", "required": ["id"]}`),
	})
	inlined, _ := language.Parse(source)
	fmt.Println(len(inlined.References()), inlined.Input.Schema.Validate(map[string]any{"id": 1}, nil))
	// Output:
	// /input/schema https://example.com/order.json
	// 0 <nil>
}

func ExampleParseDuration() {
	for _, text := range []string{"PT1H30M", "P1D", "30s"} {
		duration, err := language.ParseDuration(text)
		fmt.Println(duration, err)
	}
	// Output:
	// 1h30m0s <nil>
	// 24h0m0s <nil>
	// 0s "30s" is not an ISO 8601 duration
}
