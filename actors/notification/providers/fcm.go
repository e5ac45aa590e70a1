package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
)

// NameFCM is the provider's name in settings, records and metrics, and the platform of its devices.
const NameFCM = "fcm"

// FCM sends push messages by Firebase Cloud Messaging (HTTP v1 API). The service account signs a JWT (RFC 7523), for which Google's token
// endpoint gives an access token; it is kept until a minute before it expires.
//
// The API takes no idempotency key. A message that it gets twice replaces the first on the device, by the notification's tag.
type FCM struct {
	Deps
	account serviceAccount
	url     string
	tokens  *tokenCache
}

const fcmScope = "https://www.googleapis.com/auth/firebase.messaging"

// fcmLimit bounds the title, the text and the data of a message in bytes (the limit is 4096 for the whole payload).
const fcmLimit = 3800

// NewFCM makes the provider. It reads the credentials' file.
func NewFCM(d Deps, c FCMConfig) (*FCM, error) {
	account, err := c.account()
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(cmp.Or(c.BaseURL, "https://fcm.googleapis.com"), "/")
	return &FCM{
		Deps: d, account: account, tokens: newTokenCache(),
		url: base + "/v1/projects/" + url.PathEscape(account.ProjectID) + "/messages:send",
	}, nil
}

// Name implements channel.Provider.
func (f *FCM) Name() string { return NameFCM }

// Send implements channel.Provider. An access token that is refused is renewed once.
func (f *FCM) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	body, ok := f.body(m)
	if !ok {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the message is too large"}
	}
	for first := true; ; first = false {
		token, err := f.tokens.get(ctx, f.Now, f.accessToken)
		if err != nil {
			return channel.Receipt{}, err
		}
		response, err := f.call(ctx, egress.Request{
			Method: http.MethodPost, URL: f.url, Body: body,
			Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}},
		}, false)
		if err != nil {
			return channel.Receipt{}, err
		}
		receipt, refused := f.answer(response)
		if refused == nil {
			return receipt, nil
		}
		if !first || response.Status != http.StatusUnauthorized || !f.tokens.drop(token, f.Now(), 0) {
			return channel.Receipt{}, refused
		}
	}
}

// answer reads an answer. refused is nil if the message was accepted.
func (f *FCM) answer(response *egress.Response) (receipt channel.Receipt, refused *channel.Error) {
	if response.Status >= 200 && response.Status <= 299 {
		var body struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(response.Body, &body) != nil || body.Name == "" {
			return receipt, unreadable(response)
		}
		return channel.Receipt{Provider: NameFCM, MessageID: body.Name}, nil
	}
	return receipt, f.refused(fcmRefusal(response))
}

// fcmRefusal says what an error means (FCM ErrorCode; google.rpc.Status). A 404 alone does not say that the device is gone: that of a
// project that does not exist looks the same but for the error code.
func fcmRefusal(response *egress.Response) refusal {
	var body struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				ErrorCode       string `json:"errorCode"`
				FieldViolations []struct {
					Field string `json:"field"`
				} `json:"fieldViolations"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(response.Body, &body) != nil {
		return refusal{response: response}
	}
	r := refusal{response: response, code: body.Error.Status}
	token := false
	for _, d := range body.Error.Details {
		r.code = cmp.Or(d.ErrorCode, r.code)
		for _, v := range d.FieldViolations {
			token = token || v.Field == "message.token"
		}
	}
	switch r.code {
	case "UNREGISTERED":
		r.class, r.detail = channel.Suppressed, "the device's token is no longer registered"
	case "INVALID_ARGUMENT":
		r.class = channel.Permanent
		if token || strings.Contains(body.Error.Message, "registration token is not a valid") {
			r.class, r.detail = channel.Suppressed, "the device's token is invalid"
		}
	case "SENDER_ID_MISMATCH":
		r.class, r.detail = channel.Permanent, "the device's token is of another sender"
	case "QUOTA_EXCEEDED":
		r.class = channel.Throttled
	case "THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND":
		r.config, r.detail = true, "the provider does not accept the project or its credentials"
	}
	return r
}

// body encodes a message. Values of data are strings; a string stays one, any other value is its JSON. Names that FCM reserves are left
// out.
func (f *FCM) body(m channel.Message) (encoded []byte, ok bool) {
	priority := "NORMAL"
	if urgent(m) {
		priority = "HIGH"
	}
	android := map[string]any{"priority": priority, "notification": map[string]any{"tag": collapseID(m)}}
	headers := map[string]string{"apns-collapse-id": collapseID(m)}
	if seconds := secondsLeft(m, f.Now()); seconds >= 0 {
		android["ttl"] = strconv.Itoa(min(seconds, 28*24*3600)) + "s"
		headers["apns-expiration"] = strconv.FormatInt(m.ExpiresAt.Unix(), 10)
	}
	aps := map[string]any{}
	if m.Unread >= 0 {
		aps["badge"] = m.Unread
	}
	return fit(m, fcmLimit, func(title, text string, data map[string]json.RawMessage) any {
		return map[string]any{"message": map[string]any{
			"token": m.Address.To, "notification": map[string]string{"title": title, "body": text}, "data": fcmData(m, data),
			"android": android, "apns": map[string]any{"headers": headers, "payload": map[string]any{"aps": aps}},
		}}
	})
}

func fcmData(m channel.Message, data map[string]json.RawMessage) map[string]string {
	values := map[string]string{}
	for name, raw := range data {
		lower := strings.ToLower(name)
		if lower == "from" || lower == "message_type" || lower == "collapse_key" || strings.HasPrefix(lower, "google") || strings.HasPrefix(lower, "gcm") {
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		values[name] = text
	}
	values["notification_id"], values["category"] = m.NotificationID, m.Category
	return values
}

// accessToken asks the token endpoint for an access token (RFC 7523 §2.1). Its errors quote nothing of the answer.
func (f *FCM) accessToken(ctx context.Context) (value string, until time.Time, err error) {
	now := f.Now()
	assertion := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": f.account.ClientEmail, "scope": fcmScope, "aud": f.account.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if f.account.PrivateKeyID != "" {
		assertion.Header["kid"] = f.account.PrivateKeyID
	}
	signed, err := assertion.SignedString(f.account.key)
	if err != nil {
		return "", until, &channel.Error{Class: channel.Transient, Detail: "the request for an access token could not be signed", Cause: err}
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed}}
	response, err := f.call(ctx, egress.Request{
		Method: http.MethodPost, URL: f.account.TokenURI, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}, false)
	var failed *channel.Error
	if errors.As(err, &failed) {
		failed.Uncertain = false // of the token, not of the message
		failed.Detail = "the access token: " + failed.Detail
	}
	if err != nil {
		return "", until, err
	}
	answer, _ := egress.TokenAnswer(response.Body)
	token, _ := answer["access_token"].(string)
	if response.Status != http.StatusOK || token == "" {
		refused := f.refused(refusal{response: response, code: "token"})
		if refused.Class == channel.Permanent || response.Status == http.StatusOK {
			refused.Class = channel.Transient // of the account, not of the message
		}
		refused.Detail, refused.Uncertain = "the provider gives no access token for the service account", false
		return "", until, refused
	}
	seconds, _ := strconv.ParseFloat(textOf(answer["expires_in"]), 64)
	lifetime := min(max(time.Duration(seconds)*time.Second, 2*time.Minute), time.Hour)
	return token, now.Add(lifetime - time.Minute), nil
}

// textOf returns a string or a number as text.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
