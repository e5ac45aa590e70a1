package machine_test

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

const order = `
document: {dsl: 1.0.3, namespace: examples, name: order, version: 1.0.0}
do:
- charge:
    call: payments.charge
    with: {amount: '${ .amount }'}
- ship:
    call: shop.ship
    with: {receipt: '${ .receipt }'}
`

func parse(source string) *language.Workflow {
	workflow, faults := language.Parse([]byte(source))
	if len(faults) > 0 {
		panic(faults)
	}
	return workflow
}

func printEvents(events []machine.Event) {
	for _, event := range events {
		fmt.Println(event.Sequence, event.Type)
	}
}

// An execution of two steps: the caller appends the events of each transition to its log, makes the outstanding calls, and
// passes their results to Handle.
func Example() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	execution, events := machine.Start(parse(order), "order-1", map[string]any{"amount": 20}, now, machine.Environment{})
	printEvents(events)

	results := map[string]any{
		"payments.charge": map[string]any{"receipt": "r-7"},
		"shop.ship":       map[string]any{"parcel": "p-9"},
	}
	for !execution.Status().Ended() {
		call := execution.Calls()[0]
		fmt.Println("call", call.Function, call.Arguments, "with the key", call.Key)
		printEvents(execution.Handle(machine.CallDone(call.ID, results[call.Function], now)))
	}
	fmt.Println(execution.Status(), execution.Output())
	// Output:
	// 1 execution_started
	// 2 task_started
	// 3 call_scheduled
	// call payments.charge map[amount:20] with the key order-1/0/charge
	// 4 call_completed
	// 5 task_completed
	// 6 task_started
	// 7 call_scheduled
	// call shop.ship map[receipt:r-7] with the key order-1/1/ship
	// 8 call_completed
	// 9 task_completed
	// 10 execution_completed
	// completed map[parcel:p-9]
}

// After a crash, the execution is restored from its log. A call without a result is outstanding again, with the same key.
func ExampleRestore() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	workflow := parse(order)
	execution, log := machine.Start(workflow, "order-1", map[string]any{"amount": 20}, now, machine.Environment{})
	log = append(log, execution.Handle(machine.CallDone(execution.Calls()[0].ID, map[string]any{"receipt": "r-7"}, now))...)

	restored, err := machine.Restore(workflow, machine.Environment{}, log)
	if err != nil {
		fmt.Println(err)
		return
	}
	events := restored.Continue(now) // builds the call again
	fmt.Println(len(events), restored.Settled(), restored.Calls()[0].Key, restored.Calls()[0].Arguments)
	// Output:
	// 0 true order-1/1/ship map[receipt:r-7]
}

func ExampleTasks() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	execution, log := machine.Start(parse(order), "order-1", map[string]any{"amount": 20}, now, machine.Environment{})
	declined := machine.NewError(machine.TypeAuthorization, "the card was declined")
	log = append(log, execution.Handle(machine.CallFault(execution.Calls()[0].ID, declined, now.Add(time.Second)))...)
	for _, run := range machine.Tasks(log) {
		fmt.Println(run.Name, run.Status, run.EndedAt.Sub(run.StartedAt), run.Error.Status)
	}
	fmt.Println(execution.Status(), execution.Fault().Detail)
	// Output:
	// charge faulted 1s 403
	// faulted the card was declined
}

func ExampleRetryFrom() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	workflow := parse(order)
	execution, log := machine.Start(workflow, "order-1", map[string]any{"amount": 20}, now, machine.Environment{})
	log = append(log, execution.Handle(machine.CallDone(execution.Calls()[0].ID, map[string]any{"receipt": "r-7"}, now))...)
	down := machine.NewError(machine.TypeCommunication, "the shop is down")
	log = append(log, execution.Handle(machine.CallFault(execution.Calls()[0].ID, down, now))...)

	// The retry keeps the charge and repeats the failed task only.
	retry, _, err := machine.RetryFrom(workflow, log, "", "order-1-retry", now.Add(time.Hour), machine.Environment{})
	if err != nil {
		fmt.Println(err)
		return
	}
	call := retry.Calls()[0]
	fmt.Println(len(retry.Calls()), call.Function, call.Arguments, call.Key)
	// Output:
	// 1 shop.ship map[receipt:r-7] order-1-retry/1/ship
}

func ExampleExecution_Timers() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	execution, _ := machine.Start(parse(`
document: {dsl: 1.0.3, namespace: examples, name: reminder, version: 1.0.0}
do:
- pause: {wait: PT1H}
`), "reminder-1", nil, now, machine.Environment{})
	timer := execution.Timers()[0]
	fmt.Println(execution.Status(), timer.At.Sub(now))
	fmt.Println(len(execution.Handle(machine.TimerDue(timer.ID, now.Add(time.Minute)))), execution.Status())
	fmt.Println(len(execution.Handle(machine.TimerDue(timer.ID, timer.At))), execution.Status())
	// Output:
	// waiting 1h0m0s
	// 0 waiting
	// 3 completed
}

func ExampleEventCorrelation_Add() {
	workflow := parse(`
document: {dsl: 1.0.3, namespace: examples, name: match, version: 1.0.0}
schedule:
  on:
    all:
    - with: {type: order.paid}
      correlate: {order: {from: .data.order}}
    - with: {type: order.packed}
      correlate: {order: {from: .data.order}}
do:
- ship: {call: shop.ship}
`)
	var correlation machine.EventCorrelation
	for _, event := range []map[string]any{
		{"type": "order.paid", "data": map[string]any{"order": 7}},
		{"type": "order.packed", "data": map[string]any{"order": 8}},
		{"type": "order.packed", "data": map[string]any{"order": 7}},
	} {
		added, complete, err := correlation.Add(workflow, event, time.Time{}, machine.MatchingBudget())
		fmt.Println(added, complete, err)
	}
	fmt.Println(correlation.Input())
	// Output:
	// true false <nil>
	// false false <nil>
	// true true <nil>
	// [map[order:7] map[order:7]]
}
