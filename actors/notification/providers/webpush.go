package providers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/SherClockHolmes/webpush-go"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameWebPush is the provider's name in settings, records and metrics. PlatformWeb is the platform of its devices.
const (
	NameWebPush = "webpush"
	PlatformWeb = "web"
)

// WebPushConfig is how push messages are sent to browsers. Without a subject, it is not used.
type WebPushConfig struct {
	// Subject is where push services reach the operator: a mailto: or an https: URL (RFC 8292 §2.1).
	Subject string `koanf:"subject"`
}

// Enabled reports whether the provider is used.
func (c WebPushConfig) Enabled() bool { return c.Subject != "" }

// Check returns a mesh.SettingError for each invalid setting.
func (c WebPushConfig) Check() error {
	if !c.Enabled() {
		return nil
	}
	u, err := url.Parse(c.Subject)
	if err != nil || (u.Scheme != "mailto" || !strings.Contains(u.Opaque, "@")) && (u.Scheme != "https" || u.Host == "") {
		return mesh.InvalidSetting("notification.webpush.subject", "is %q, and must be a mailto: or an https: URL", c.Subject)
	}
	return nil
}

// VAPIDKeys identify the application server to push services (RFC 8292): the private key is a scalar of P-256, the public one an
// uncompressed point, both in base64url. Browsers bind their subscriptions to the public key: it must not change.
type VAPIDKeys struct {
	Private mesh.Secret
	Public  string
}

// VAPIDKeysOf returns the keys of a private key of 32 bytes.
func VAPIDKeysOf(private []byte) (VAPIDKeys, error) {
	key, err := ecdh.P256().NewPrivateKey(private)
	if err != nil {
		return VAPIDKeys{}, errors.New("the VAPID key is no scalar of P-256")
	}
	return VAPIDKeys{
		Private: mesh.Secret(base64.RawURLEncoding.EncodeToString(private)),
		Public:  base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
	}, nil
}

// CheckSubscription returns what is wrong with the keys of a browser's subscription (RFC 8291 §3.1): p256dh must be an uncompressed point
// of P-256, auth 16 bytes, both in base64url. field is p256dh or auth.
func CheckSubscription(p256dh, auth string) (field, problem string) {
	point, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(p256dh, "="))
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		return "p256dh", "is no point of P-256 in base64url"
	}
	if secret, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(auth, "=")); err != nil || len(secret) != 16 {
		return "auth", "is not 16 bytes in base64url"
	}
	return "", ""
}

// WebPush sends push messages to browsers (RFC 8030), encrypted for the browser (RFC 8291) and signed by VAPID (RFC 8292). The endpoint is
// the subscription's own, which the egress guard checks.
//
// A message that a push service gets twice replaces the first while it waits, by its Topic (RFC 8030 §5.4), and then in the browser, by
// the tag in its payload.
type WebPush struct {
	Deps
	config WebPushConfig
	keys   func(context.Context) (VAPIDKeys, error)
}

// webPushLimit bounds a payload in bytes: push services take at least 4096 of a body (RFC 8030 §7.2), of which the encryption takes 103.
const webPushLimit = 3993

// NewWebPush makes the provider from checked settings. keys returns the keys, which do not change.
func NewWebPush(d Deps, c WebPushConfig, keys func(context.Context) (VAPIDKeys, error)) *WebPush {
	return &WebPush{Deps: d, config: c, keys: keys}
}

// Name implements channel.Provider.
func (w *WebPush) Name() string { return NameWebPush }

// Host is the server of an address, whose failures say nothing about others.
func (w *WebPush) Host(a channel.Address) string {
	u, err := url.Parse(a.To)
	if err != nil {
		return ""
	}
	return u.Host
}

// Send implements channel.Provider.
func (w *WebPush) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	payload, ok := fit(m, webPushLimit, func(title, text string, data map[string]json.RawMessage) any {
		body := map[string]any{
			"title": title, "body": text, "tag": collapseID(m), "notification_id": m.NotificationID, "category": m.Category, "data": data,
		}
		if m.Unread >= 0 {
			body["unread"] = m.Unread
		}
		return body
	})
	if !ok {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the message is too large"}
	}
	if _, problem := CheckSubscription(m.Address.Keys["p256dh"], m.Address.Keys["auth"]); problem != "" {
		return channel.Receipt{}, &channel.Error{Class: channel.Suppressed, Detail: "the subscription's keys are invalid"}
	}
	keys, err := w.keys(ctx)
	if err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "the VAPID keys could not be read", Cause: err}
	}
	urgency, ttl := webpush.UrgencyNormal, int(defaultTTL.Seconds())
	if m.Category == "security" {
		urgency = webpush.UrgencyHigh
	} else if !urgent(m) {
		urgency = webpush.UrgencyLow
	}
	if seconds := secondsLeft(m, w.Now()); seconds >= 0 {
		ttl = seconds
	}
	client := &webPushClient{deps: w.Deps}
	answer, err := webpush.SendNotificationWithContext(ctx, payload, &webpush.Subscription{
		Endpoint: m.Address.To, Keys: webpush.Keys{P256dh: m.Address.Keys["p256dh"], Auth: m.Address.Keys["auth"]},
	}, &webpush.Options{
		HTTPClient: client, Subscriber: strings.TrimPrefix(w.config.Subject, "mailto:"), Topic: collapseID(m), TTL: ttl, Urgency: urgency,
		VAPIDPublicKey: keys.Public, VAPIDPrivateKey: keys.Private.Reveal(),
	})
	if answer != nil {
		_ = answer.Body.Close()
	}
	switch {
	case client.err != nil:
		return channel.Receipt{}, client.err
	case client.response == nil:
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the message could not be encrypted", Cause: err}
	case client.response.Status >= 200 && client.response.Status <= 299:
		return channel.Receipt{Provider: NameWebPush, MessageID: cmp.Or(messageOf(client.response.Header.Get("Location")), m.ID)}, nil
	}
	return channel.Receipt{}, w.refused(webPushRefusal(client.response))
}

// messageOf is the last part of the URL of a message (RFC 8030 §5), without the subscription's.
func messageOf(location string) string {
	location, _, _ = strings.Cut(location, "?")
	return cutBytes(location[strings.LastIndexByte(location, '/')+1:], 200)
}

// webPushRefusal says what a status means (RFC 8030 §5, §7.3; RFC 8292 §4.2).
func webPushRefusal(response *egress.Response) refusal {
	r := refusal{response: response}
	switch response.Status {
	case http.StatusNotFound, http.StatusGone:
		r.class, r.detail = channel.Suppressed, "the subscription has ended"
	case http.StatusRequestEntityTooLarge:
		r.class, r.detail = channel.Permanent, "the message is too large"
	case http.StatusUnauthorized, http.StatusForbidden:
		r.class, r.detail = channel.Permanent, "the push service does not accept the VAPID key for the subscription"
	}
	return r
}

// webPushClient makes the one request of a message through egress.
type webPushClient struct {
	deps     Deps
	response *egress.Response
	err      error
}

// Do implements webpush.HTTPClient.
func (c *webPushClient) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.response, c.err = c.deps.call(r.Context(), egress.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body}, true)
	if c.err != nil {
		return nil, c.err
	}
	return &http.Response{StatusCode: c.response.Status, Header: c.response.Header, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
}
