package providers

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameAPNs is the provider's name in settings, records and metrics, and the platform of its devices.
const NameAPNs = "apns"

// APNsConfig is how push messages are sent to Apple's devices. Without a team, it is not used.
type APNsConfig struct {
	// TeamID and KeyID are the ten characters of the developer team and of its key.
	TeamID string `koanf:"team_id"`
	KeyID  string `koanf:"key_id"`
	// Key is the key (PEM, PKCS #8, P-256), KeyFile the .p8 file with it; one of both.
	Key     mesh.Secret `koanf:"key"`
	KeyFile string      `koanf:"key_file"`
	// Topic is the app's bundle id.
	Topic string `koanf:"topic"`
	// Sandbox sends to development builds of the app.
	Sandbox bool `koanf:"sandbox"`
	// BaseURL is the API's address; empty for Apple's own, of the sandbox or not.
	BaseURL string `koanf:"base_url"`
}

// Enabled reports whether the provider is used.
func (c APNsConfig) Enabled() bool { return c.TeamID != "" }

var (
	appleID   = regexp.MustCompile(`^[A-Z0-9]{10}$`)
	apnsTopic = regexp.MustCompile(`^[A-Za-z0-9.-]{1,255}$`)
)

// Check returns a mesh.SettingError for each invalid setting. It reads the key.
func (c APNsConfig) Check() error {
	if !c.Enabled() {
		return nil
	}
	const section = "notification.apns"
	errs := []error{checkBaseURL(section+".base_url", c.BaseURL)}
	if !appleID.MatchString(c.TeamID) {
		errs = append(errs, mesh.InvalidSetting(section+".team_id", "is %q, and must be ten capital letters and digits", c.TeamID))
	}
	if !appleID.MatchString(c.KeyID) {
		errs = append(errs, mesh.InvalidSetting(section+".key_id", "is %q, and must be ten capital letters and digits", c.KeyID))
	}
	if !apnsTopic.MatchString(c.Topic) {
		errs = append(errs, mesh.InvalidSetting(section+".topic", "is %q, and must be the app's bundle id", c.Topic))
	}
	if (c.Key == "") == (c.KeyFile == "") {
		errs = append(errs, mesh.InvalidSetting(section+".key", "and notification.apns.key_file: exactly one must be set"))
	} else if _, err := c.signingKey(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c APNsConfig) signingKey() (*ecdsa.PrivateKey, error) {
	setting, text := "notification.apns.key", []byte(c.Key.Reveal())
	if c.KeyFile != "" {
		setting = "notification.apns.key_file"
		var err error
		if text, err = readSecretFile(setting, c.KeyFile); err != nil {
			return nil, err
		}
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(text)
	if err != nil || key.Curve.Params().BitSize != 256 {
		return nil, mesh.InvalidSetting(setting, "is no key on P-256 in PEM")
	}
	return key, nil
}

// APNs sends push messages by the Apple Push Notification service, over HTTP/2, with a provider token (ES256 JWT) that is renewed every 40
// minutes: Apple refuses one of more than an hour, and renewals within 20 minutes.
//
// A message that it gets twice replaces the first on the device, by apns-collapse-id.
type APNs struct {
	Deps
	config APNsConfig
	key    *ecdsa.PrivateKey
	url    string
	tokens *tokenCache
}

const (
	// apnsRenew is the age at which a provider token is renewed, apnsYoung that below which it must not be.
	apnsRenew = 40 * time.Minute
	apnsYoung = 20 * time.Minute
	// apnsLimit bounds a payload in bytes.
	apnsLimit = 4096
)

// NewAPNs makes the provider. It reads the key's file.
func NewAPNs(d Deps, c APNsConfig) (*APNs, error) {
	key, err := c.signingKey()
	if err != nil {
		return nil, err
	}
	base := "https://api.push.apple.com"
	if c.Sandbox {
		base = "https://api.sandbox.push.apple.com"
	}
	return &APNs{Deps: d, config: c, key: key, tokens: newTokenCache(), url: strings.TrimSuffix(cmp.Or(c.BaseURL, base), "/") + "/3/device/"}, nil
}

// Name implements channel.Provider.
func (a *APNs) Name() string { return NameAPNs }

// Send implements channel.Provider. A provider token that is refused as expired is renewed once, if it is old enough.
func (a *APNs) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	body, ok := a.body(m)
	if !ok {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the message is too large"}
	}
	for first := true; ; first = false {
		token, err := a.tokens.get(ctx, a.Now, a.providerToken)
		if err != nil {
			return channel.Receipt{}, err
		}
		header := a.header(m)
		header.Set("Authorization", "bearer "+token)
		response, err := a.call(ctx, egress.Request{
			Method: http.MethodPost, URL: a.url + url.PathEscape(m.Address.To), Body: body, Header: header,
		}, false)
		if err != nil {
			return channel.Receipt{}, err
		}
		if response.Status == http.StatusOK {
			id := cmp.Or(response.Header.Get("Apns-Id"), header.Get("Apns-Id"))
			return channel.Receipt{Provider: NameAPNs, MessageID: cutBytes(id, 64)}, nil
		}
		var reason struct {
			Reason string `json:"reason"`
		}
		_ = json.Unmarshal(response.Body, &reason)
		refused := a.refused(apnsRefusal(response, reason.Reason))
		if !first || reason.Reason != "ExpiredProviderToken" || !a.tokens.drop(token, a.Now(), apnsYoung) {
			return channel.Receipt{}, refused
		}
	}
}

// apnsRefusal says what a reason means (Handling notification responses from APNs).
func apnsRefusal(response *egress.Response, reason string) refusal {
	r := refusal{response: response, code: reason}
	switch reason {
	case "BadDeviceToken", "Unregistered", "ExpiredToken":
		r.class, r.detail = channel.Suppressed, "the device's token is no longer valid"
	case "DeviceTokenNotForTopic":
		r.class, r.detail = channel.Permanent, "the device's token is of another app"
	case "TooManyRequests", "TooManyProviderTokenUpdates":
		r.class = channel.Throttled
	case "ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken", "Forbidden", "BadTopic", "MissingTopic", "TopicDisallowed",
		"BadCertificate", "BadCertificateEnvironment", "BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken", "UnrelatedKeyIdInToken",
		"BadPath", "MethodNotAllowed":
		r.config, r.detail = true, "the provider does not accept the key, the topic or the address of its API"
	}
	if r.class == "" && !r.config && response.Status == http.StatusGone {
		r.class, r.detail = channel.Suppressed, "the device's token is no longer valid"
	}
	return r
}

// apnsNamespace makes apns-id from a message's id (RFC 9562 §5.5).
var apnsNamespace = uuid.MustParse("6d1f4c3e-58b5-4a0e-9a44-0d0b9c2f7a51")

func (a *APNs) header(m channel.Message) http.Header {
	priority, expires := "5", m.ExpiresAt
	if urgent(m) {
		priority = "10"
	}
	if expires.IsZero() {
		expires = a.Now().Add(defaultTTL)
	}
	expiration := strconv.FormatInt(expires.Unix(), 10)
	h := http.Header{}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Apns-Id": uuid.NewSHA1(apnsNamespace, []byte(m.ID)).String(), "Apns-Topic": a.config.Topic,
		"Apns-Push-Type": "alert", "Apns-Priority": priority, "Apns-Expiration": expiration, "Apns-Collapse-Id": collapseID(m),
	} {
		h.Set(name, value)
	}
	return h
}

// defaultTTL is how long a push service keeps a message that does not expire, for a device that is not reachable.
const defaultTTL = 7 * 24 * time.Hour

// body encodes the payload. The notification's id, category and data are beside aps.
func (a *APNs) body(m channel.Message) (encoded []byte, ok bool) {
	aps := map[string]any{"sound": "default", "thread-id": m.Category}
	if m.Unread >= 0 {
		aps["badge"] = m.Unread
	}
	return fit(m, apnsLimit, func(title, text string, data map[string]json.RawMessage) any {
		aps["alert"] = map[string]string{"title": title, "body": text}
		payload := map[string]any{"aps": aps, "notification_id": m.NotificationID, "category": m.Category}
		if len(data) > 0 {
			payload["data"] = data
		}
		return payload
	})
}

// providerToken signs a provider token (RFC 7515; Establishing a token-based connection to APNs).
func (a *APNs) providerToken(context.Context) (value string, until time.Time, err error) {
	now := a.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": a.config.TeamID, "iat": now.Unix()})
	token.Header["kid"] = a.config.KeyID
	value, err = token.SignedString(a.key)
	if err != nil {
		return "", until, &channel.Error{Class: channel.Transient, Detail: "the provider token could not be signed", Cause: err}
	}
	return value, now.Add(apnsRenew), nil
}
