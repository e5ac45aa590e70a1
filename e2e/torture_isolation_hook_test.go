//go:build torture

package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// hookSender sends signed deliveries to a hook of the provider http.
type hookSender struct {
	client *client
	path   string
	key    []byte
}

// newHookSender creates a hook of a connection.
func newHookSender(t testing.TB, c *client, connection string) *hookSender {
	t.Helper()
	sender, err := hookSenderOf(c, c.must(t, 201, "POST", "/v1/integrations/"+connection+"/hooks", `{"label":"orders"}`))
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// hookSenderOf returns the sender for the answer to the creation of a hook.
func hookSenderOf(c *client, hook answer) (*hookSender, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hook.text(".secret"), "whsec_"))
	if err != nil {
		return nil, fmt.Errorf("the hook's secret: %w", err)
	}
	address, err := url.Parse(hook.text(".url"))
	if err != nil || address.Path == "" {
		return nil, fmt.Errorf("%s is no hook: %w", hook, err)
	}
	return &hookSender{client: &client{url: c.url, http: c.http}, path: address.Path, key: key}, nil
}

// send sends a delivery of its own.
func (h *hookSender) send(ctx context.Context, body string) (answer, error) {
	id, stamp := uuid.NewString(), strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return h.client.do(ctx, http.MethodPost, h.path, []byte(body), "webhook-id: "+id, "webhook-timestamp: "+stamp,
		"webhook-signature: v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
