package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameSendGrid is the name of the provider SendGrid.
const NameSendGrid = "sendgrid"

// sendgridURL is the address of SendGrid's API.
const sendgridURL = "https://api.sendgrid.com"

// SendGridConfig is how mail is sent by SendGrid. Without an API key, it is not used.
type SendGridConfig struct {
	// APIKey is a key with the permission Mail Send.
	APIKey mesh.Secret `koanf:"api_key"`
	// From is the sender, such as `weft <weft@example.com>`, of a domain that is authenticated at SendGrid.
	From string `koanf:"from"`
	// BaseURL is the API's address; empty for https://api.sendgrid.com. That of the EU is https://api.eu.sendgrid.com.
	BaseURL string `koanf:"base_url"`
	// WebhookKey is the public key of the signed event webhook, as SendGrid shows it. Without it, callbacks are refused.
	WebhookKey string `koanf:"webhook_key"`
	// Weight is the provider's share of the messages, beside the other mail providers'.
	Weight int `koanf:"weight"`
}

// Enabled reports whether the provider is used.
func (c SendGridConfig) Enabled() bool { return c.APIKey != "" }

// Check returns a mesh.SettingError for each invalid setting.
func (c SendGridConfig) Check() error {
	const section = "notification.sendgrid"
	weight := mesh.SettingBetween(section+".weight", c.Weight, 1, maxWeight)
	if !c.Enabled() {
		return weight
	}
	errs := []error{weight, checkSender(section+".from", c.From), checkBaseURL(section+".base_url", c.BaseURL)}
	if c.WebhookKey != "" {
		if _, err := NewSendGridReports(c.WebhookKey, nil); err != nil {
			errs = append(errs, mesh.InvalidSetting(section+".webhook_key", "%v", err))
		}
	}
	return errors.Join(errs...)
}

// SendGrid sends through SendGrid's API (v3, POST /mail/send). SendGrid composes and signs the messages.
type SendGrid struct {
	Deps

	config SendGridConfig
	sender Sender
}

// NewSendGrid makes a provider from checked settings.
func NewSendGrid(d Deps, c SendGridConfig) (*SendGrid, error) {
	sender, err := newSender(c.From, d.Now)
	if err != nil {
		return nil, err
	}
	c.BaseURL = strings.TrimSuffix(cmp.Or(c.BaseURL, sendgridURL), "/")
	return &SendGrid{d, c, sender}, nil
}

type sendgridAddress struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

type sendgridPersonalization struct {
	To         []sendgridAddress `json:"to"`
	CustomArgs map[string]string `json:"custom_args"`
}

type sendgridContent struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type sendgridSwitch struct {
	Enable bool `json:"enable"`
}

type sendgridMail struct {
	Personalizations []sendgridPersonalization `json:"personalizations"`
	From             sendgridAddress           `json:"from"`
	Subject          string                    `json:"subject"`
	Content          []sendgridContent         `json:"content"`
	Headers          map[string]string         `json:"headers"`
	Tracking         map[string]sendgridSwitch `json:"tracking_settings"`
}

// Name implements channel.Provider.
func (*SendGrid) Name() string { return NameSendGrid }

// Send implements channel.Provider. The receipt's id is the first part of the sg_message_id of events.
func (s *SendGrid) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	body, err := json.Marshal(s.mail(m))
	if err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "encoding an e-mail", Cause: err}
	}
	answer, err := s.call(ctx, egress.Request{
		Method: http.MethodPost, URL: s.config.BaseURL + "/v3/mail/send", Body: body,
		Header: http.Header{"Authorization": {"Bearer " + s.config.APIKey.Reveal()}, "Content-Type": {"application/json"}},
	}, false)
	if err != nil {
		return channel.Receipt{}, err
	}
	if answer.Status/100 != 2 {
		return channel.Receipt{}, s.refusal(answer)
	}
	return channel.Receipt{Provider: NameSendGrid, MessageID: answer.Header.Get("X-Message-Id")}, nil
}

// mail returns the request. Opens and clicks are tracked for a message that allows it only, whatever the account's settings.
func (s *SendGrid) mail(m channel.Message) sendgridMail {
	text := m.Text
	if text == "" {
		text = " " // SendGrid refuses an empty value
	}
	mail := sendgridMail{
		Personalizations: []sendgridPersonalization{{To: []sendgridAddress{{Email: m.Address.To}}, CustomArgs: map[string]string{"weft_id": m.ID}}},
		From:             sendgridAddress{Email: s.sender.From.Address, Name: s.sender.From.Name},
		Subject:          oneLine(m.Subject),
		Content:          []sendgridContent{{"text/plain", text}},
		Headers:          map[string]string{"Message-ID": "<" + s.sender.messageID(m) + ">"},
		Tracking:         map[string]sendgridSwitch{"click_tracking": {m.Track}, "open_tracking": {m.Track}, "subscription_tracking": {false}},
	}
	if m.HTML != "" {
		mail.Content = append(mail.Content, sendgridContent{"text/html", inlined(m.HTML)})
	}
	for name, value := range listHeaders(m) {
		mail.Headers[name] = value
	}
	return mail
}

// refusal classifies an answer. For a 429, X-RateLimit-Reset says when, in seconds since the Unix epoch. The texts of errors may have
// addresses, and are not recorded: the field that an error names is.
func (s *SendGrid) refusal(answer *egress.Response) error {
	var problem struct {
		Errors []struct {
			Field string `json:"field"`
		} `json:"errors"`
	}
	r := refusal{response: answer}
	if json.Unmarshal(answer.Body, &problem) == nil && len(problem.Errors) > 0 {
		r.code = problem.Errors[0].Field
	}
	switch {
	case answer.Status == http.StatusBadRequest && strings.HasPrefix(r.code, "personalizations") && strings.HasSuffix(r.code, ".email"):
		// An address that SendGrid's syntax check refuses is refused for every message.
		r.class, r.detail = channel.Suppressed, "SendGrid does not accept the address"
	case answer.Status == http.StatusBadRequest && strings.HasPrefix(r.code, "from"):
		r.config, r.detail = true, "SendGrid does not accept the sender (notification.sendgrid.from)"
	}
	e := s.refused(r)
	reset, err := strconv.ParseInt(answer.Header.Get("X-Ratelimit-Reset"), 10, 64)
	if err == nil && e.Class == channel.Throttled && e.RetryAfter == 0 {
		e.RetryAfter = min(max(time.Unix(reset, 0).Sub(s.Now()), 0), time.Hour)
	}
	return e
}
