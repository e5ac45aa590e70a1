//go:build torture

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
)

// stateAttacks make executions hold, write and read much.
func stateAttacks() []attack {
	return []attack{
		{name: "loops that write", run: attackWithWritingLoops},
		{name: "contexts that grow", run: attackWithGrowingContexts},
		{name: "branches that share", run: attackWithSharedState},
		{name: "listeners that collect", run: attackWithCollectingListeners},
		{name: "large histories", run: attackWithLargeHistories},
	}
}

// attackWithWritingLoops writes half a megabyte, thousands of times.
func attackWithWritingLoops(b *attackers) {
	loop := func(each string) string {
		return b.document("", "- a: {for: {each: i, in: '${ [range(3000)] }'}, do: [{b: "+each+"}]}")
	}
	b.runAll(4, map[string]any{}, loop(`{set: {x: '${ "a" * 500000 }'}}`), loop(`{call: echo, with: {x: '${ "a" * 200000 }'}}`), loop(`{set: {x: '${ [range(50000)] }'}}`),
		loop(`{call: 'notification.send', with: {subject: a, body: '${ "a" * 19000 }'}}`), loop(`{emit: {event: {with: {type: bad.loud, source: 'https://a.example', data: '${ "a" * 200000 }'}}}}`),
		b.document("", "- a: {set: {x: '${ \"a\" * 500000 }'}, then: b}", "- b: {set: {y: '${ .x }', x: '${ .x }'}, then: a}"))
}

// attackWithGrowingContexts keeps everything that was ever computed.
func attackWithGrowingContexts(b *attackers) {
	loop := func(task string) string {
		return b.document("", "- a: {for: {each: i, in: '${ [range(3000)] }'}, do: [{b: "+task+"}]}")
	}
	b.runAll(4, map[string]any{}, loop(`{set: {x: '${ "a" * 100000 }'}, export: {as: '${ $context + {("k\($i)"): .x} }'}}`), loop(`{set: '${ . + {("k\($i)"): ("a" * 100000)} }'}`),
		loop(`{set: {x: '${ [.x, .x] }'}}`), loop(`{call: echo, with: {x: '${ (.x // "a") + ("a" * 10000) }'}}`), loop(`{set: {x: 1}, export: {as: '${ [$context, $context] }'}}`),
		loop(`{try: [{c: {set: '${ . + {("k\($i)"): ("a" * 100000)} }'}}, {d: {raise: {error: {type: 'https://a.example', status: 400, title: '${ "a" * 100000 }'}}}}], catch: {as: e, do: [{e: {set: {x: '${ [.x, $e] }'}}}]}}`))
}

// attackWithSharedState forks hundreds of branches that wait, over a large input.
func attackWithSharedState(b *attackers) {
	waits := strings.TrimSuffix(strings.Repeat("{w: {wait: {hours: 1}}}, ", 400), ", ")
	nested := "{wait: {hours: 1}}"
	for range 3 {
		nested = "{fork: {branches: [" + strings.TrimSuffix(strings.Repeat("{n: "+nested+"}, ", 7), ", ") + "]}}"
	}
	listens := strings.TrimSuffix(strings.Repeat("{w: {listen: {to: {one: {with: {type: bad.never}}}}}}, ", 400), ", ")
	large := `- s: {set: {x: '${ "a" * 900000 }'}}`
	documents := []string{
		b.document("", large, "- f: {fork: {branches: ["+waits+"]}}"), b.document("", large, "- f: {fork: {branches: ["+listens+"]}}"), b.document("", large, "- f: "+nested),
		b.document("", `- s: {set: {x: '${ "a" * 240000 }'}, export: {as: .}}`, "- f: {fork: {branches: ["+strings.ReplaceAll(waits, "{wait: {hours: 1}}", `{do: [{t: {set: {y: '${ .x + "b" }'}}}, {u: {wait: {hours: 1}}}]}`)+"]}}"),
	}
	ids := make([]string, len(documents))
	b.times(len(documents), func(n int) { ids[n] = b.create(b.user(n), documents[n]) })
	b.crowd(4, func(n int) bool {
		if id := ids[n%len(ids)]; id != "" {
			b.begin(b.user(n%len(ids)), id, map[string]any{})
		}
		return true
	})
}

// attackWithCollectingListeners publishes large events to executions and schedules that keep them.
func attackWithCollectingListeners(b *attackers) {
	user := b.users[0]
	never := "{any: [{with: {type: bad.large}}], until: '${ length > 100000 }'}"
	listen := b.create(user, b.document("", "- a: {listen: {to: "+never+"}}"))
	each := b.create(user, b.document("", "- a: {listen: {to: "+never+"}, foreach: {item: e, do: [{k: {set: {x: '${ $e }'}}}]}}"))
	b.create(user, b.document("schedule: {on: "+never+"}\n", "- a: {set: {x: 1}}"))
	b.create(user, b.document("schedule: {on: {all: [{with: {type: bad.large}}, {with: {type: bad.never}}]}}\n", "- a: {set: {x: 1}}"))
	byKey := "correlate: {k: {from: '${ .id }'}}"
	b.create(user, b.document("schedule: {on: {all: [{with: {type: bad.large}, "+byKey+"}, {with: {type: bad.never}, "+byKey+"}]}}\n", "- a: {set: {x: 1}}"))
	b.times(60, func(n int) {
		for _, id := range []string{listen, each} {
			if id != "" {
				b.begin(user, id, map[string]any{})
			}
		}
	})
	data := strings.Repeat("a", 250_000)
	b.crowd(4, func(int) bool {
		b.publish(user, "bad.large", data)
		return true
	})
}

// attackWithLargeHistories reads what executions have written, as much at a time as is allowed.
func attackWithLargeHistories(b *attackers) {
	user := b.users[0]
	id := b.create(user, b.document("", `- a: {for: {each: i, in: '${ [range(400)] }'}, do: [{b: {set: {x: '${ "a" * 20000 }'}}}]}`))
	var executions []string
	for range 3 {
		if a := b.begin(user, id, map[string]any{}); a.text(".id") != "" {
			executions = append(executions, a.text(".id"))
		}
	}
	views := []string{"", "/history?limit=200", "/full", "/history?limit=200", "/diagram", "/events"}
	b.crowd(8, func(n int) bool {
		if len(executions) == 0 {
			return false
		}
		view := views[n%len(views)]
		if view == "/events" {
			b.hold(user, fmt.Sprintf("/v1/executions/%s/events", executions[n%len(executions)]))
			return true
		}
		b.send(user, "read"+view, http.MethodGet, "/v1/executions/"+executions[n%len(executions)]+view, nil)
		return true
	})
}
