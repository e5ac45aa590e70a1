package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

// orderWorkflow is the demo's automation, in the Open Workflow language.
const orderWorkflow = `document:
  dsl: 1.0.3
  namespace: demo
  name: order-check
  version: 1.0.0
do:
  - fetch:
      call: http.get
      with:
        connection: shop
        path: ${ "/orders/" + .order }
      output:
        as: '${ {order: .body.id, total: .body.total, items: (.body.lines | length)} }'
  - decide:
      switch:
        - large:
            when: ${ .total >= 100 }
            then: tellLarge
        - small:
            then: tellSmall
  - tellLarge:
      call: notification.send
      with:
        category: workflow
        channels: CHANNELS
        subject: '${ "Order \(.order) is a large one" }'
        body: '${ "\(.items) lines, \(.total) in all." }'
      output:
        as: '${ $input + {size: "large"} }'
      then: end
  - tellSmall:
      set:
        size: small
`

// play runs the story from the sign-up to the refused call.
func (d *demo) play(ctx context.Context) error {
	shop, err := startShop(ctx)
	if err != nil {
		return err
	}
	defer shop.close()
	d.signUp(ctx)
	consents := d.consent(ctx)
	d.connect(ctx, shop)
	workflow := d.handIn(ctx)
	events := d.listen(ctx)
	d.run(ctx, workflow, shop)
	d.told(ctx, events)
	d.takeBack(ctx, workflow, consents, shop)
	d.say("That is the story: %d calls reached the shop.", shop.calls.Load())
	return d.err
}

func (d *demo) signUp(ctx context.Context) {
	email := fmt.Sprintf("ada.%s@example.com", uuid.NewString()[:8])
	d.say("1. Somebody signs up and signs in")
	d.json(ctx, http.StatusAccepted, http.MethodPost, "/v1/auth/register", map[string]any{
		"email": email, "password": "Test123!@#", "first_name": "Ada", "last_name": "Lovelace",
	})
	session := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/auth/login", map[string]any{"email": email, "password": "Test123!@#"})
	d.token = session.str("access_token")
	d.json(ctx, http.StatusOK, http.MethodGet, "/v1/users/me", nil)
}

// consent says what weft may do, and returns the consents' ids by scope.
func (d *demo) consent(ctx context.Context) map[string]string {
	ids := map[string]string{}
	d.say("2. They say what weft may do with their accounts")
	for _, scope := range []string{subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute} {
		ids[scope] = d.json(ctx, http.StatusCreated, http.MethodPost, "/v1/consents", map[string]any{"scope": scope, "purpose": "the demo"}).str("id")
	}
	return ids
}

func (d *demo) connect(ctx context.Context, s *shop) {
	d.say("3. They connect the shop's API, with the key that it asks for")
	d.json(ctx, http.StatusCreated, http.MethodPost, "/v1/integrations", map[string]any{
		"provider": "http", "label": "shop", "auth": "header",
		"settings":    map[string]any{"base_url": s.url, "key_name": "X-Shop-Key", "health_path": "/health"},
		"credentials": map[string]any{"api_key": shopKey},
	})
}

func (d *demo) handIn(ctx context.Context) (workflowID string) {
	d.say("4. They hand in a workflow: fetch an order, look at its total, tell them of large ones")
	channels := "[in_app]"
	if d.mail {
		channels = "[in_app, email]"
	}
	document := strings.Replace(orderWorkflow, "CHANNELS", channels, 1)
	return d.request(ctx, http.StatusCreated, http.MethodPost, "/v1/workflows", "application/yaml", document).str("id")
}

func (d *demo) run(ctx context.Context, workflow string, s *shop) {
	d.say("5. They run it and wait for the result")
	done := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/workflows/"+workflow+"/execute", map[string]any{"input": map[string]any{"order": "1001"}})
	if d.err == nil && (done.str("status") != "completed" || done.str("output", "size") != "large") {
		d.err = fmt.Errorf("the execution ended as %s: %s", done.str("status"), done.text)
	}
	d.say("6. They start it and look at it later")
	started := d.json(ctx, http.StatusAccepted, http.MethodPost, "/v1/workflows/"+workflow+"/executions", map[string]any{"input": map[string]any{"order": "1002"}})
	location := ""
	if d.err == nil {
		location = started.header.Get("Location")
	}
	d.await(ctx, location)
	d.json(ctx, http.StatusOK, http.MethodGet, location, nil)
	d.json(ctx, http.StatusOK, http.MethodGet, location+"/history?limit=5", nil)
	if d.err == nil && s.calls.Load() < 2 {
		d.err = errors.New("the shop was not called")
	}
}

// await asks for an execution until it has ended.
func (d *demo) await(ctx context.Context, location string) {
	for d.err == nil {
		r, err := d.do(ctx, http.MethodGet, location, "", "")
		switch {
		case err != nil:
			d.err = err
		case r.status != http.StatusOK:
			d.err = fmt.Errorf("GET %s answered %d: %s", location, r.status, r.text)
		case r.str("ended_at") != "":
			return
		}
		select {
		case <-ctx.Done():
			d.err = errors.Join(d.err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen opens the stream of notifications before anything is told.
func (d *demo) listen(ctx context.Context) <-chan string {
	events := make(chan string, 16)
	if d.err != nil {
		return events
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/v1/notifications/stream", http.NoBody)
	if err != nil {
		d.err = err
		return events
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	answer, err := d.client.Do(request) //nolint:bodyclose // the goroutine below closes it
	if err != nil {
		d.err = fmt.Errorf("opening the stream of notifications: %w", err)
		return events
	}
	go func() {
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if text := lines.Text(); strings.HasPrefix(text, "event:") || strings.HasPrefix(text, "data:") {
				select {
				case events <- text:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return events
}

func (d *demo) told(ctx context.Context, events <-chan string) {
	d.say("7. They are told: live, and in their inbox")
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, "$ curl -sN %s/v1/notifications/stream -H \"Authorization: Bearer $TOKEN\"\n", d.url)
	}
	for seen := false; d.err == nil && !seen; {
		select {
		case line := <-events:
			_, d.err = fmt.Fprintln(d.out, line)
			seen = strings.Contains(line, "is a large one")
		case <-ctx.Done():
			d.err = fmt.Errorf("the notification did not come: %w", ctx.Err())
		}
	}
	d.json(ctx, http.StatusOK, http.MethodGet, "/v1/notifications?unread=true", nil)
}

func (d *demo) takeBack(ctx context.Context, workflow string, consents map[string]string, s *shop) {
	d.say("8. They take a consent back: once that has answered, no call starts")
	d.json(ctx, http.StatusOK, http.MethodPost, "/v1/consents/"+consents[subjects.ScopeIntegrationsExecute]+"/revoke", map[string]any{"reason": "enough"})
	before := s.calls.Load()
	refused := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/workflows/"+workflow+"/execute", map[string]any{"input": map[string]any{"order": "1001"}})
	switch {
	case d.err != nil:
	case refused.str("status") != "faulted" || !strings.Contains(refused.text, subjects.ScopeIntegrationsExecute):
		d.err = fmt.Errorf("the execution ended as %s, the story wants a fault that names the scope: %s", refused.str("status"), refused.text)
	case s.calls.Load() != before:
		d.err = errors.New("the shop was called after the consent was taken back")
	}
}
