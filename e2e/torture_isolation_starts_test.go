//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// startAttacks cause very many executions, steps and timers.
func startAttacks() []attack {
	return []attack{
		{name: "events that start their own cause", run: together(attackWithEventLoops, attackWithLifecycleEvents)},
		{name: "children that start children", run: attackWithChildren},
		{name: "retries without delay", run: attackWithRetries},
		{name: "schedules", run: attackWithSchedules},
		{name: "executions that wait for a provider", run: attackWithHangingCalls},
		{name: "listeners", run: attackWithListeners},
		{name: "queues that are full", run: attackWithFullQueues},
	}
}

// attackWithEventLoops has executions that publish, three times, the event that starts them.
func attackWithEventLoops(b *attackers) {
	for n, user := range b.users {
		kind := fmt.Sprintf("bad.loop%d", n)
		emit := "{emit: {event: {with: {type: " + kind + ", source: 'https://bad.example.com', data: {n: '${ .n }'}}}}}"
		b.create(user, b.document("schedule: {on: {one: {with: {type: "+kind+"}}}}\n", "- a: "+emit, "- b: "+emit, "- c: "+emit))
		b.create(user, b.document("schedule: {on: {any: [{with: {type: 'bad\\..*'}}]}}\n", "- f: {fork: {branches: ["+strings.Repeat("{a: "+emit+"}, ", 20)+"{b: "+emit+"}]}}"))
		b.publish(user, kind, object{"n": 1})
	}
	b.crowd(1, func(n int) bool {
		user := n % len(b.users)
		b.publish(b.users[user], fmt.Sprintf("bad.loop%d", user), object{"n": n})
		return b.pause()
	})
}

// attackWithChildren has executions that start themselves, ten times each, and wait or do not, or do it through the API.
func attackWithChildren(b *attackers) {
	var ids [2]string
	user := b.users[1]
	self := object{"n": "${ .n }", "id": "${ .id }"}
	post, _ := json.Marshal(object{"call": "http", "with": object{
		"method": "post", "endpoint": b.target.URL + "/v1/workflows/{id}/executions", "headers": object{"Authorization": "Bearer " + user.token}, "body": object{"input": self},
	}})
	api := b.create(user, b.document("", "- f: {fork: {branches: ["+strings.Repeat("{a: "+string(post)+"}, ", 9)+"{b: {set: {x: 1}}}]}}"))
	b.begin(user, api, object{"n": 1, "id": api})
	for n, user := range b.users {
		name := fmt.Sprintf("w%d", b.names.Load()+1)
		run := "{run: {workflow: {namespace: attack, name: " + name + ", version: 1.0.0, input: {n: 1}}}}"
		if n == 1 {
			run = "{call: workflow.start, with: {namespace: attack, name: " + name + "}}"
		}
		ids[n] = b.create(user, b.document("", "- f: {fork: {branches: ["+strings.Repeat("{a: "+run+"}, ", 9)+"{b: "+run+"}]}}"))
	}
	b.crowd(2, func(n int) bool {
		b.begin(b.users[n%2], ids[n%2], object{})
		return b.pause()
	})
}

// attackWithRetries has executions that never get further, and never rest.
func attackWithRetries(b *attackers) {
	fail := "{fail: {raise: {error: {type: 'https://bad.example.com/x', status: 503, title: x}}}}"
	call := "{get: {call: http.get, with: {connection: bad, path: /broken}}}"
	catch := func(delay string) string {
		return "catch: {retry: {delay: " + delay + ", limit: {attempt: {count: 100000}}}}"
	}
	b.runAll(attackerRequests, object{},
		b.document("", "- a: {try: ["+fail+"], "+catch("PT0S")+"}"), b.document("", "- a: {try: ["+fail+"], "+catch("{milliseconds: 1}")+"}"), b.document("", "- a: {try: ["+call+"], "+catch("{milliseconds: 1}")+"}"),
		b.document("", "- f: {fork: {branches: ["+strings.Repeat("{a: {try: ["+fail+"], "+catch("{milliseconds: 1}")+"}}, ", 100)+"{b: {set: {x: 1}}}]}}"),
		b.document("", "- a: {set: {x: 1}, then: b}", "- b: {set: {x: 2}, then: a}"), b.document("", "- a: {wait: {milliseconds: 1}, then: b}", "- b: {set: {x: 2}, then: a}"),
		b.document("", "- a: {call: echo, with: {x: 1}, then: b}", "- b: {call: echo, with: {x: 1}, then: a}"),
		b.document("", "- a: {try: ["+fail+"], catch: {retry: {delay: {milliseconds: 1}, backoff: {exponential: {factor: '${ nan }'}}, limit: {attempt: {count: 100000}}}}}"),
		b.document("timeout: {after: {milliseconds: 1}}\n", "- a: {for: {each: i, in: '${ [range(100000)] }'}, do: [{b: {wait: {milliseconds: 1}, timeout: {after: {milliseconds: 1}}}}]}"))
}

// attackWithLifecycleEvents has workflows that are started by the lifecycle events of one another.
func attackWithLifecycleEvents(b *attackers) {
	for _, user := range b.users {
		for _, kind := range []string{"workflow.started", "workflow.completed", "workflow.faulted", "task.started", "task.completed", "task.created"} {
			schedule := "schedule: {on: {one: {with: {type: io.serverlessworkflow." + kind + ".v1}}}}\n"
			b.create(user, b.document(schedule, "- a: {set: {x: 1}}", "- b: {call: echo, with: {x: 1}}"))
			b.create(user, b.document(schedule, "- a: {emit: {event: {with: {type: bad.next, source: 'https://bad.example.com'}}}}"))
		}
		b.create(user, b.document("schedule: {on: {one: {with: {type: bad.next}}}}\n", "- a: {call: echo, with: {x: 1}}", "- b: {raise: {error: {type: 'https://bad.example.com/x', status: 400, title: x}}}"))
	}
	first := [2]string{b.create(b.users[0], b.document("", "- a: {set: {x: 1}}")), b.create(b.users[1], b.document("", "- a: {set: {x: 1}}"))}
	b.crowd(2, func(n int) bool {
		b.begin(b.users[n%2], first[n%2], object{})
		return b.pause()
	})
}

// attackWithSchedules creates 1,500 schedules of one second, and others that are as frequent as is allowed.
func attackWithSchedules(b *attackers) {
	schedules := []string{"{every: {seconds: 1}}", "{every: {seconds: 1}}", "{every: {seconds: 1}}", "{cron: '* * * * * *'}", "{after: {milliseconds: 100}}", "{every: {milliseconds: 100}}"}
	b.times(1500, func(n int) {
		user := b.user(n)
		id := b.create(user, b.document("schedule: "+schedules[n%len(schedules)]+"\n", "- a: {set: {x: 1}}", "- b: {call: echo, with: {x: 1}}"))
		if n%100 != 0 || id == "" {
			return
		}
		schedule := b.send(user, "schedules", http.MethodGet, "/v1/schedules?workflow_id="+id, nil).text(".items[0].id")
		for hours := range 5 {
			since := time.Now().Add(-time.Duration(hours+1) * time.Hour).UTC()
			b.post(user, "backfill", "/v1/schedules/"+schedule+"/backfill", object{"since": since, "until": since.Add(15 * time.Minute), "overlap": "allow"})
		}
	})
}

// attackWithHangingCalls has very many executions whose calls are not answered, answered with 429, with 503, drop by drop, or with eight megabytes.
func attackWithHangingCalls(b *attackers) {
	var ids []string
	for n := range 10 {
		path := []string{"/hang", "/drip", "/busy", "/broken", "/large"}[n%5]
		task := "{call: http.get, with: {connection: bad, path: " + path + "}}"
		if n >= 5 {
			task = "{call: http, with: {method: get, endpoint: '" + b.provider.stub.url + path + "'}}"
		}
		ids = append(ids, b.create(b.user(n), b.document("", "- f: {fork: {branches: ["+strings.Repeat("{a: "+task+"}, ", 20)+"{b: "+task+"}]}}")))
	}
	b.crowd(8, func(n int) bool {
		b.begin(b.user(n%len(ids)), ids[n%len(ids)], object{})
		return true
	})
}

// attackWithListeners has ten thousand listeners with costly filters, and events for them.
func attackWithListeners(b *attackers) {
	filter := `{with: {type: 'bad\.(a|b|c)*\.x', subject: '(x+x+)+y', data: '${ [.n | tostring | test("(a|b)*c")] | any }'}, correlate: {k: {from: '${ .data.n }'}}}`
	branches := strings.TrimSuffix(strings.Repeat("{l: {listen: {to: {one: "+filter+"}}}}, ", 400), ", ")
	ids := [2]string{b.create(b.users[0], b.document("", "- f: {fork: {branches: ["+branches+"]}}")), b.create(b.users[1], b.document("", "- l: {listen: {to: {any: ["+filter+"], until: '${ length > 100000 }'}}}"))}
	b.times(25, func(int) { b.begin(b.users[0], ids[0], object{}) })
	b.times(2000, func(int) { b.begin(b.users[1], ids[1], object{}) })
	b.crowd(4, func(n int) bool {
		b.postEvent(b.user(n), object{
			"specversion": "1.0", "id": fmt.Sprint("l", n), "source": "https://bad.example.com", "type": "bad." + strings.Repeat("abc", 100) + ".x", "subject": strings.Repeat("x", 2000), "data": object{"n": n},
		})
		return true
	})
}

// attackWithFullQueues fills the queue of the attacker's executions, and then sends deliveries and starts, which wait or are refused.
func attackWithFullQueues(b *attackers) {
	user := b.users[0]
	slow := "- a: {call: http.get, with: {connection: bad, path: /hang}}"
	id := b.create(user, b.document("", slow))
	flow := strings.Replace(b.document("schedule: {on: {any: [{with: {type: 'http\\..*'}}]}}\n", slow), "version: 1.0.0}", "version: 1.0.0, metadata: {flow: {concurrency: {limit: 1}}}}", 1)
	b.create(user, flow)
	connection := b.send(user, "connections", http.MethodGet, "/v1/integrations", nil).text(".items[0].id")
	if b.ctx.Err() != nil || connection == "" {
		return
	}
	hook := b.hook(user, connection)
	b.times(1200, func(int) { b.begin(user, id, object{}) })
	b.crowd(8, func(n int) bool {
		if hook == nil || n%4 == 0 {
			b.begin(user, id, object{})
			return true
		}
		a, _ := hook.send(b.ctx, fmt.Sprintf(`{"type":"order.paid","n":%d}`, n))
		b.count("deliver", a.status)
		return true
	})
}
