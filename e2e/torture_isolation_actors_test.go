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
		{name: "keys, secrets and connections", run: attackWithThings},
		{name: "deliveries", run: attackWithDeliveries},
		{name: "lists", run: attackWithLists},
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
			b.post(user, "key", "/v1/auth/api-keys", object{"name": fmt.Sprint(n), "scopes": []string{"workflows.read"}})
		case 1:
			value, err := json.Marshal(object{"value": strings.Repeat("s", 16_000)})
			if err != nil {
				b.t.Error(err)
			}
			b.send(user, "secret", http.MethodPut, fmt.Sprintf("/v1/workflows/secrets/s%d", n), value)
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

// hook creates a hook, or returns nil.
func (b *attackers) hook(c *client, connection string) *hookSender {
	a := b.post(c, "hook", "/v1/integrations/"+connection+"/hooks", object{"label": "bad"})
	sender, err := hookSenderOf(c, a)
	if err != nil {
		return nil
	}
	return sender
}
