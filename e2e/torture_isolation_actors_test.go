//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// actorAttacks fill up actors other than that of workflows.
func actorAttacks() []attack {
	return []attack{
		{name: "notifications that fail", run: attackWithNotifications},
		{name: "keys, secrets, connections and lists", run: together(attackWithThings, attackWithLists)},
		{name: "deliveries", run: attackWithDeliveries},
		{name: "documents at an address", run: attackWithFetchedDocuments},
		{name: "accounts that are deleted", run: attackWithErasures},
	}
}

// attackWithNotifications sends notifications to the inbox and by e-mail. The messages are refused or not answered, and retried.
func attackWithNotifications(b *attackers) {
	bodies := []string{strings.Repeat("a", 19_000), strings.Repeat("{{#each this}}", 1_000), "{{x}}", strings.Repeat("<", 19_000)}
	b.crowd(8, func(n int) bool {
		b.post(b.user(n), "notify", "/v1/notifications", object{
			"category": "system", "channels": []string{"email", "in_app"}, "subject": fmt.Sprint(n), "body": bodies[n%len(bodies)],
			"data": object{"x": strings.Repeat("a", 10_000)},
		})
		return true
	})
}

// attackWithThings creates as many as it can of what a user may have.
func attackWithThings(b *attackers) {
	b.crowd(modestRequests, func(n int) bool {
		user := b.user(n)
		switch n % 5 {
		case 0:
			body := fmt.Sprintf(`{"name":"k%d","scopes":["workflows.read"]}`, n)
			b.send(user, "key", http.MethodPost, "/v1/auth/api-keys", []byte(body), fmt.Sprintf("Idempotency-Key: k%d", n))
		case 1:
			value, err := json.Marshal(object{"value": strings.Repeat("s", 16_000)})
			if err != nil {
				b.t.Error(err)
			}
			b.send(user, "secret", http.MethodPut, fmt.Sprintf("/v1/secrets/s%d", n), value)
		case 2:
			b.post(user, "connection", "/v1/integrations", b.provider.stub.connection(fmt.Sprint("c", n)))
		case 3:
			b.post(user, "consent", "/v1/consents", object{"scope": "workflows.execute", "purpose": strings.Repeat("p", 200)})
		default:
			b.post(user, "account", "/v1/auth/register", object{"email": fmt.Sprintf("a%d-%d@example.com", n, b.names.Load()), "password": password})
		}
		return true
	})
}

// attackWithDeliveries sends a provider's deliveries, which start workflows that wait, write and fail.
func attackWithDeliveries(b *attackers) {
	user := b.users[0]
	connection := b.send(user, "connections", http.MethodGet, "/v1/integrations", nil).text(".items[0].id")
	for _, tasks := range []string{`- a: {set: {x: '${ "a" * 500000 }'}}`, "- a: {wait: {hours: 1}}", "- a: {call: http.get, with: {connection: bad, path: /hang}}", "- a: {set: {x: '${ error }'}}"} {
		b.create(user, b.document("schedule: {on: {one: {with: {type: http.order.paid}}}}\n", tasks))
	}
	if b.ctx.Err() != nil || connection == "" {
		return
	}
	hook := b.hook(user, connection)
	if hook == nil {
		return
	}
	bodies := []string{`{"type":"order.paid","x":"` + strings.Repeat("&", 150_000) + `"}`, `{"type":"order.paid","x":` + strings.Repeat("[", 120) + strings.Repeat("]", 120) + `}`, `{"type":"order.paid","x":[` + strings.Repeat("[],", 80_000) + `1]}`}
	b.crowd(8, func(n int) bool {
		a, _ := hook.send(b.ctx, bodies[n%len(bodies)])
		b.count("deliver", a.status)
		return true
	})
}

// attackWithLists reads lists with the widest filters, and overviews.
func attackWithLists(b *attackers) {
	id := b.create(b.users[0], b.document("", "- a: {set: {x: 1}}"))
	b.times(300, func(int) { b.begin(b.users[0], id, object{"x": strings.Repeat("a", 50_000)}) })
	paths := []string{
		"/v1/executions?limit=100", "/v1/executions?limit=100&status=completed&since=2000-01-01T00:00:00Z", "/v1/overview", "/v1/workflows?limit=100", "/v1/workflows/functions", "/v1/providers?limit=100",
		"/v1/workflows/failures?limit=100", "/v1/users/me/audit?limit=100", "/v1/notifications?limit=100", "/v1/schedules?limit=100", "/openapi.json", "/v1/workflows/functions?provider=github",
	}
	b.crowd(modestRequests, func(n int) bool {
		b.send(b.user(n/len(paths)), "list", http.MethodGet, paths[n%len(paths)], nil)
		return true
	})
}

// attackWithFetchedDocuments refers to schemas, functions and descriptions of APIs that are large, deep, or never arrive.
func attackWithFetchedDocuments(b *attackers) {
	url := b.provider.stub.url
	b.crowd(8, func(n int) bool {
		user, path := b.user(n), url+[]string{"/openapi/deep", "/openapi/wide", "/openapi/aliases", "/hang", "/drip", "/large"}[n/3%6]
		switch n % 3 {
		case 0:
			all := strings.TrimSuffix(strings.Repeat("{a: {set: {x: 1}, input: {schema: {resource: {endpoint: '"+path+"?n="+fmt.Sprint(n)+"'}}}}}, ", 15), ", ")
			b.create(user, b.document("", "- d: {do: ["+all+"]}"))
		case 1:
			b.validate(user, b.document("", "- a: {call: '"+path+"'}"))
		default:
			call := "{call: openapi, with: {document: {endpoint: '" + path + "'}, operationId: getPet, parameters: {petId: 1}}}"
			if id := b.create(user, b.document("", "- f: {fork: {branches: ["+strings.Repeat("{a: "+call+"}, ", 9)+"{b: "+call+"}]}}")); id != "" {
				b.begin(user, id, object{})
			}
		}
		return true
	})
}

// attackWithErasures deletes accounts that have executions, notifications and secrets.
func attackWithErasures(b *attackers) {
	b.crowd(2, func(n int) bool {
		c := &client{url: b.target.URL, http: b.user(n).http}
		credentials := object{"email": fmt.Sprintf("gone%d-%d@example.com", n, b.names.Add(1)), "password": password}
		b.post(c, "register", "/v1/auth/register", credentials)
		if c.token = b.post(c, "login", "/v1/auth/login", credentials).text(".access_token"); c.token == "" {
			return b.pause()
		}
		b.post(c, "consent", "/v1/consents", object{"scope": "workflows.execute", "purpose": "a test"})
		id := b.create(c, b.document("", "- a: {for: {each: i, in: '${ [range(30)] }'}, do: [{b: {set: {x: '${ \"a\" * 10000 }'}}}]}"))
		for k := range 40 {
			b.begin(c, id, object{})
			b.post(c, "notify", "/v1/notifications", object{"category": "system", "subject": fmt.Sprint(k)})
		}
		b.send(c, "delete", http.MethodDelete, "/v1/users/me", []byte(`{"password":"`+password+`"}`))
		return true
	})
}

// hook creates a hook, or returns nil.
func (b *attackers) hook(c *client, connection string) *hookSender {
	a := b.post(c, "hook", "/v1/integrations/"+connection+"/hooks", object{"label": "bad"})
	sender, err := hookSenderOf(c, a)
	if err != nil {
		return nil
	}
	return sender
}
