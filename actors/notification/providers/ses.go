package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameSES is the provider's name in settings, records and metrics.
const NameSES = "ses"

// SESConfig is how mail is sent by Amazon SES. Without a region, it is not used.
type SESConfig struct {
	// Region is the AWS region, such as eu-central-1.
	Region string `koanf:"region"`
	// AccessKeyID and SecretAccessKey are the credentials of a user that may ses:SendEmail. SessionToken is that of temporary ones.
	AccessKeyID     string      `koanf:"access_key_id"`
	SecretAccessKey mesh.Secret `koanf:"secret_access_key"`
	SessionToken    mesh.Secret `koanf:"session_token"`
	// From is the sender, such as `weft <weft@example.com>`, of an identity that is verified at SES.
	From string `koanf:"from"`
	// BaseURL is the API's address; empty for that of the region.
	BaseURL string `koanf:"base_url"`
	// ConfigurationSet decides which events SES publishes; empty for the identity's own.
	ConfigurationSet string `koanf:"configuration_set"`
	// Topics are the ARNs of the SNS topics whose messages are accepted as callbacks. Without one, callbacks are refused.
	Topics []string `koanf:"topics"`
	// SNSURL is the address of a stand-in for SNS, such as http://127.0.0.1:4566: signing certificates and confirmations are requested
	// from there alone, and the certificates are trusted as they are. Empty for Amazon's.
	SNSURL string `koanf:"sns_url"`
	// Weight is the provider's share of the messages, beside the other mail providers'.
	Weight int `koanf:"weight"`
}

// Enabled reports whether the provider is used.
func (c SESConfig) Enabled() bool { return c.Region != "" }

// Check returns a mesh.SettingError for each invalid setting.
func (c SESConfig) Check() error {
	const section = "notification.ses"
	errs := []error{checkBaseURL(section+".sns_url", c.SNSURL), mesh.SettingBetween(section+".weight", c.Weight, 1, maxWeight)}
	for _, topic := range c.Topics {
		if !strings.HasPrefix(topic, "arn:") || strings.Count(topic, ":") != 5 {
			errs = append(errs, mesh.InvalidSetting(section+".topics", "has %q, which is no ARN of an SNS topic", topic))
		}
	}
	if !c.Enabled() {
		return errors.Join(errs...)
	}
	errs = append(errs,
		required(section+".access_key_id", c.AccessKeyID, section), required(section+".secret_access_key", c.SecretAccessKey.Reveal(), section),
		checkSender(section+".from", c.From), checkBaseURL(section+".base_url", c.BaseURL))
	if !awsRegion.MatchString(c.Region) {
		errs = append(errs, mesh.InvalidSetting(section+".region", "is %q, and must be an AWS region such as eu-central-1", c.Region))
	}
	return errors.Join(errs...)
}

// SES sends through Amazon SES (API v2, SendEmail with raw content), signed by Signature Version 4. SES replaces Date and Message-ID, and
// signs with DKIM itself (Easy DKIM).
type SES struct {
	Deps

	config SESConfig
	sender Sender
	signer awsSigner
}

// NewSES makes a provider from checked settings.
func NewSES(d Deps, c SESConfig) (*SES, error) {
	sender, err := newSender(c.From, d.Now)
	if err != nil {
		return nil, err
	}
	c.BaseURL = strings.TrimSuffix(cmp.Or(c.BaseURL, "https://email."+c.Region+".amazonaws.com"), "/")
	return &SES{d, c, sender, awsSigner{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Region, "ses"}}, nil
}

type sesMail struct {
	FromEmailAddress string         `json:"FromEmailAddress"`
	Destination      sesDestination `json:"Destination"`
	Content          sesContent     `json:"Content"`
	Configuration    string         `json:"ConfigurationSetName,omitempty"`
}

type sesDestination struct {
	ToAddresses []string `json:"ToAddresses"`
}

type sesContent struct {
	Raw sesRaw `json:"Raw"`
}

type sesRaw struct {
	Data []byte `json:"Data"`
}

// Name implements channel.Provider.
func (*SES) Name() string { return NameSES }

// Send implements channel.Provider. The receipt's id is the messageId of events.
func (s *SES) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	raw, err := s.sender.compose(m)
	if err != nil {
		return channel.Receipt{}, err
	}
	body, err := json.Marshal(sesMail{
		FromEmailAddress: s.sender.From.String(), Destination: sesDestination{ToAddresses: []string{m.Address.To}},
		Content: sesContent{Raw: sesRaw{Data: raw}}, Configuration: s.config.ConfigurationSet,
	})
	if err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "encoding an e-mail", Cause: err}
	}
	r := egress.Request{
		Method: http.MethodPost, URL: s.config.BaseURL + "/v2/email/outbound-emails", Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	}
	if err := s.signer.sign(ctx, &r, s.Now()); err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the request could not be signed", Cause: err}
	}
	answer, err := s.call(ctx, r, false)
	if err != nil {
		return channel.Receipt{}, err
	}
	if answer.Status/100 != 2 {
		return channel.Receipt{}, s.refusal(answer)
	}
	var accepted struct {
		MessageID string `json:"MessageId"`
	}
	if err := json.Unmarshal(answer.Body, &accepted); err != nil || accepted.MessageID == "" {
		return channel.Receipt{}, unreadable(answer)
	}
	return channel.Receipt{Provider: NameSES, MessageID: accepted.MessageID}, nil
}

// The errors of SES (API v2, SendEmail, Errors; Common Error Types) that an operator or time ends, not another message.
var (
	sesThrottled = []string{"TooManyRequestsException", "LimitExceededException", "ThrottlingException", "Throttling"}
	sesOperator  = []string{"AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException", "NotFoundException"}
)

// refusal classifies an answer by the error's type. The texts of errors have addresses, and are not recorded.
func (s *SES) refusal(answer *egress.Response) error {
	var problem struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // or Message: names match in either case
	}
	_ = json.Unmarshal(answer.Body, &problem)
	kind, _, _ := strings.Cut(cmp.Or(answer.Header.Get("X-Amzn-Errortype"), problem.Type), ":")
	kind = kind[strings.LastIndexByte(kind, '#')+1:]
	r := refusal{response: answer, code: kind}
	switch {
	case slices.Contains(sesThrottled, kind):
		r.class = channel.Throttled
	case slices.Contains(sesOperator, kind):
		r.config, r.detail = true, "SES takes no mail from this account or sender"
	case kind == "MessageRejected" && strings.Contains(problem.Message, "not verified"):
		r.config, r.detail = true, "the sender, or in the sandbox the recipient, is not verified at SES"
	}
	return s.refused(r)
}
