package providers

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameTwilio is the provider's name in settings, records and metrics.
const NameTwilio = "twilio"

// TwilioConfig is how SMS are sent by Twilio (Programmable Messaging). Without an account, it is not used.
type TwilioConfig struct {
	// AccountSID and AuthToken are the account's credentials.
	AccountSID string      `koanf:"account_sid"`
	AuthToken  mesh.Secret `koanf:"auth_token"`
	// From is the sender: a number in E.164, a short code or an alphanumeric sender id. MessagingServiceSID replaces it; one of both is
	// required.
	From                string `koanf:"from"`
	MessagingServiceSID string `koanf:"messaging_service_sid"`
	// StatusCallback is the URL to which Twilio reports deliveries: `/v1/callbacks/twilio` of the gateway's public address. Empty for none.
	StatusCallback string `koanf:"status_callback"`
	// BaseURL is the API's address; empty for Twilio's own.
	BaseURL string `koanf:"base_url"`
	// Weight is the provider's share of the messages, beside the other SMS providers'.
	Weight int `koanf:"weight"`
}

// Enabled reports whether the provider is used.
func (c TwilioConfig) Enabled() bool { return c.AccountSID != "" }

var twilioSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)

// Check returns a mesh.SettingError for each invalid setting.
func (c TwilioConfig) Check() error {
	const section = "notification.twilio"
	weight := mesh.SettingBetween(section+".weight", c.Weight, 1, maxWeight)
	if !c.Enabled() {
		return weight
	}
	errs := []error{
		weight,
		required(section+".auth_token", c.AuthToken.Reveal(), section),
		checkBaseURL(section+".base_url", c.BaseURL), checkBaseURL(section+".status_callback", c.StatusCallback),
	}
	if !twilioSID.MatchString(c.AccountSID) {
		errs = append(errs, mesh.InvalidSetting(section+".account_sid", "is %q, and must be AC and 32 hexadecimal digits", c.AccountSID))
	}
	if (c.From == "") == (c.MessagingServiceSID == "") {
		errs = append(errs, mesh.InvalidSetting(section+".from", "and notification.twilio.messaging_service_sid: exactly one must be set"))
	}
	return errors.Join(errs...)
}

// maxWeight bounds a provider's weight.
const maxWeight = 1000

// Twilio sends SMS by Twilio's Messages API (version 2010-04-01). The API takes no idempotency key.
type Twilio struct {
	Deps
	config TwilioConfig
	url    string
}

// NewTwilio makes the provider from checked settings.
func NewTwilio(d Deps, c TwilioConfig) *Twilio {
	base := strings.TrimSuffix(cmp.Or(c.BaseURL, "https://api.twilio.com"), "/")
	return &Twilio{Deps: d, config: c, url: base + "/2010-04-01/Accounts/" + c.AccountSID + "/Messages.json"}
}

// Name implements channel.Provider.
func (t *Twilio) Name() string { return NameTwilio }

// The bounds of ValidityPeriod, in seconds, and of Body, in characters.
const (
	maxTwilioValidity = 36000
	maxTwilioBody     = 1600
)

// Send implements channel.Provider.
func (t *Twilio) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	form := url.Values{"To": {m.Address.To}, "Body": {cut(smsText(m), maxTwilioBody)}}
	if t.config.MessagingServiceSID != "" {
		form.Set("MessagingServiceSid", t.config.MessagingServiceSID)
	} else {
		form.Set("From", t.config.From)
	}
	if t.config.StatusCallback != "" {
		form.Set("StatusCallback", t.config.StatusCallback)
	}
	if seconds := secondsLeft(m, t.Now()); seconds >= 0 {
		form.Set("ValidityPeriod", strconv.Itoa(min(max(seconds, 1), maxTwilioValidity)))
	}
	credentials := base64.StdEncoding.EncodeToString([]byte(t.config.AccountSID + ":" + t.config.AuthToken.Reveal()))
	response, err := t.call(ctx, egress.Request{
		Method: http.MethodPost, URL: t.url, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {"Basic " + credentials}},
	}, false)
	if err != nil {
		return channel.Receipt{}, err
	}
	var body struct {
		SID  string `json:"sid"`
		Code int    `json:"code"`
	}
	readable := json.Unmarshal(response.Body, &body) == nil
	if response.Status >= 200 && response.Status <= 299 {
		if !readable || body.SID == "" {
			return channel.Receipt{}, unreadable(response)
		}
		return channel.Receipt{Provider: NameTwilio, MessageID: body.SID}, nil
	}
	return channel.Receipt{}, t.refused(twilioRefusal(response, body.Code))
}

// twilioRefusal says what an error code means (Twilio's error and warning dictionary).
func twilioRefusal(response *egress.Response, code int) refusal {
	r := refusal{response: response}
	if code != 0 {
		r.code = strconv.Itoa(code)
	}
	switch code {
	case 21610:
		r.class, r.detail = channel.Suppressed, "the recipient has opted out"
	case 21211, 21214, 21217, 21265, 21614, 21635, 60205:
		r.class, r.detail = channel.Permanent, "the number cannot receive SMS"
	case 21408:
		r.class, r.detail = channel.Permanent, "the account may not send to the number's country"
	case 20429, 14107, 21611, 30001, 63038:
		r.class = channel.Throttled
	case 20003, 20005, 20403, 20404, 21212, 21603, 21606, 21659, 21660, 21661, 30002:
		r.config, r.detail = true, "the provider does not accept the account or the sender"
	}
	return r
}
