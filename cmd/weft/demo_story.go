package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

// orderWorkflow is the demo's workflow, an Open Workflow document. CHANNELS is replaced by the channels of the notification.
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

// play runs all steps, from creating an account to the refused call.
func (d *demo) play(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, demoTimeout)
	defer cancel()
	shop, err := startShop(ctx)
	if err != nil {
		return err
	}
	defer shop.close()
	d.signUp(ctx)
	consents := d.grantConsents(ctx)
	d.connect(ctx, shop)
	workflow := d.createWorkflow(ctx)
	events := d.followNotifications(ctx)
	d.runWorkflow(ctx, workflow, shop)
	d.awaitNotification(ctx, events)
	d.revokeConsent(ctx, workflow, consents, shop)
	d.heading("Done: %d calls reached the shop.", shop.calls.Load())
	if d.err == nil && d.keep {
		d.heading("The shop stays at %s until Ctrl-C.", shop.url)
		<-parent.Done()
	}
	return d.err
}

// demoTimeout bounds all steps together.
const demoTimeout = 2 * time.Minute

func (d *demo) signUp(ctx context.Context) {
	email := fmt.Sprintf("ada.%s@example.com", uuid.NewString()[:8])
	d.heading("1. Create an account and sign in")
	d.json(ctx, http.StatusAccepted, http.MethodPost, "/v1/auth/register", map[string]any{
		"email": email, "password": "Test123!@#", "first_name": "Ada", "last_name": "Lovelace",
	})
	credentials := map[string]any{"email": email, "password": "Test123!@#"}
	session := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/auth/login", credentials)
	if body, err := json.Marshal(credentials); err == nil && d.err == nil {
		_, d.err = fmt.Fprintf(d.out, "TOKEN=$(%s | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n",
			d.curl(http.MethodPost, "/v1/auth/login", "application/json", string(body)))
	}
	d.token = session.str("access_token")
	d.json(ctx, http.StatusOK, http.MethodGet, "/v1/users/me", nil)
}

// grantConsents allows weft to call integrations and to run workflows, and returns the IDs of the consents by scope.
func (d *demo) grantConsents(ctx context.Context) map[string]string {
	ids := map[string]string{}
	d.heading("2. Grant consent to what weft may do")
	for _, scope := range []string{subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute} {
		ids[scope] = d.json(ctx, http.StatusCreated, http.MethodPost, "/v1/consents", map[string]any{"scope": scope, "purpose": "the demo"}).str("id")
	}
	return ids
}

func (d *demo) connect(ctx context.Context, s *shop) {
	d.heading("3. Connect the shop's API with its API key")
	d.json(ctx, http.StatusCreated, http.MethodPost, "/v1/integrations", map[string]any{
		"provider": "http", "label": "shop", "auth": "header",
		"settings":    map[string]any{"base_url": s.url, "key_name": "X-Shop-Key", "health_path": "/health"},
		"credentials": map[string]any{"api_key": shopKey},
	})
}

func (d *demo) createWorkflow(ctx context.Context) (workflowID string) {
	d.heading("4. Create a workflow: fetch an order, check its total, send a notification if it is large")
	channels := "[in_app]"
	if d.mail {
		channels = "[in_app, email]"
	}
	document := strings.Replace(orderWorkflow, "CHANNELS", channels, 1)
	return d.request(ctx, http.StatusCreated, http.MethodPost, "/v1/workflows", "application/yaml", document).str("id")
}

func (d *demo) runWorkflow(ctx context.Context, workflow string, s *shop) {
	d.heading("5. Run it and wait for the result")
	done := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/workflows/"+workflow+"/execute", map[string]any{"input": map[string]any{"order": "1001"}})
	if d.err == nil && (done.str("status") != "completed" || done.str("output", "size") != "large") {
		d.err = fmt.Errorf("the execution has status %s: %s", done.str("status"), done.text)
	}
	d.heading("6. Start it and read the result later")
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

// await polls an execution until it has ended.
func (d *demo) await(ctx context.Context, location string) {
	for d.err == nil {
		r, err := d.do(ctx, http.MethodGet, location, "", "")
		switch {
		case err != nil:
			d.err = err
		case r.status != http.StatusOK:
			d.err = fmt.Errorf("GET %s returned status %d: %s", location, r.status, r.text)
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

// followNotifications opens the stream of server-sent notifications and returns its lines.
func (d *demo) followNotifications(ctx context.Context) <-chan string {
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
	response, err := d.client.Do(request) //nolint:bodyclose // the goroutine below closes it
	if err != nil {
		d.err = fmt.Errorf("opening the stream of notifications: %w", err)
		return events
	}
	go func() {
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewScanner(response.Body)
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

func (d *demo) awaitNotification(ctx context.Context, events <-chan string) {
	d.heading("7. The notification arrives: on the stream and in the inbox")
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, "curl -sN %s -H \"Authorization: Bearer $TOKEN\"\n", shellQuote(d.url+"/v1/notifications/stream"))
	}
	for seen := false; d.err == nil && !seen; {
		select {
		case line := <-events:
			_, d.err = fmt.Fprintln(d.out, line)
			seen = strings.Contains(line, "is a large one")
		case <-ctx.Done():
			d.err = fmt.Errorf("waiting for the notification: %w", ctx.Err())
		}
	}
	d.json(ctx, http.StatusOK, http.MethodGet, "/v1/notifications?unread=true", nil)
}

func (d *demo) revokeConsent(ctx context.Context, workflow string, consents map[string]string, s *shop) {
	d.heading("8. Revoke a consent: after the response no call starts")
	d.json(ctx, http.StatusOK, http.MethodPost, "/v1/consents/"+consents[subjects.ScopeIntegrationsExecute]+"/revoke", map[string]any{"reason": "enough"})
	before := s.calls.Load()
	refused := d.json(ctx, http.StatusOK, http.MethodPost, "/v1/workflows/"+workflow+"/execute", map[string]any{"input": map[string]any{"order": "1001"}})
	switch {
	case d.err != nil:
	case refused.str("status") != "faulted" || !strings.Contains(refused.text, subjects.ScopeIntegrationsExecute):
		d.err = fmt.Errorf("the execution has status %s, expected a fault that names the scope: %s", refused.str("status"), refused.text)
	case s.calls.Load() != before:
		d.err = errors.New("the shop was called after the consent was revoked")
	}
}
