package providers

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameSNS is the provider's name in settings, records and metrics.
const NameSNS = "sns"

// SNSConfig is how SMS are sent by Amazon SNS. Without a region, it is not used.
type SNSConfig struct {
	// Region is the AWS region, such as eu-central-1.
	Region string `koanf:"region"`
	// AccessKeyID and SecretAccessKey are the credentials of a user that may sns:Publish. SessionToken is that of temporary ones.
	AccessKeyID     string      `koanf:"access_key_id"`
	SecretAccessKey mesh.Secret `koanf:"secret_access_key"`
	SessionToken    mesh.Secret `koanf:"session_token"`
	// SenderID is the sender that is shown where the country supports it: 1 to 11 alphanumeric characters and hyphens. Empty for the account's.
	SenderID string `koanf:"sender_id"`
	// BaseURL is the API's address; empty for that of the region.
	BaseURL string `koanf:"base_url"`
	// Weight is the provider's share of the messages, beside the other SMS providers'.
	Weight int `koanf:"weight"`
}

// Enabled reports whether the provider is used.
func (c SNSConfig) Enabled() bool { return c.Region != "" }

var (
	awsRegion   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	snsSenderID = regexp.MustCompile(`^[A-Za-z0-9-]{1,11}$`)
)

// Check returns a mesh.SettingError for each invalid setting.
func (c SNSConfig) Check() error {
	const section = "notification.sns"
	weight := mesh.SettingBetween(section+".weight", c.Weight, 1, maxWeight)
	if !c.Enabled() {
		return weight
	}
	errs := []error{
		weight,
		required(section+".access_key_id", c.AccessKeyID, section),
		required(section+".secret_access_key", c.SecretAccessKey.Reveal(), section),
		checkBaseURL(section+".base_url", c.BaseURL),
	}
	if !awsRegion.MatchString(c.Region) {
		errs = append(errs, mesh.InvalidSetting(section+".region", "is %q, and must be an AWS region such as eu-central-1", c.Region))
	}
	if c.SenderID != "" && !snsSenderID.MatchString(c.SenderID) {
		errs = append(errs, mesh.InvalidSetting(section+".sender_id", "is %q, and must be 1 to 11 letters, digits and hyphens", c.SenderID))
	}
	return errors.Join(errs...)
}

// SNS sends SMS by the Publish action of Amazon SNS (version 2010-03-31) to a phone number, which takes no idempotency key.
type SNS struct {
	Deps
	config SNSConfig
	url    string
	sign   awsSigner
}

// NewSNS makes the provider from checked settings.
func NewSNS(d Deps, c SNSConfig) *SNS {
	domain := "amazonaws.com"
	if strings.HasPrefix(c.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	base := strings.TrimSuffix(cmp.Or(c.BaseURL, "https://sns."+c.Region+"."+domain), "/")
	return &SNS{Deps: d, config: c, url: base + "/", sign: awsSigner{
		accessKeyID: c.AccessKeyID, secret: c.SecretAccessKey, session: c.SessionToken, region: c.Region, service: "sns",
	}}
}

// Name implements channel.Provider.
func (s *SNS) Name() string { return NameSNS }

// Send implements channel.Provider.
func (s *SNS) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	kind := "Transactional"
	if m.Category == "marketing" {
		kind = "Promotional"
	}
	form := url.Values{
		"Action": {"Publish"}, "Version": {"2010-03-31"}, "PhoneNumber": {m.Address.To}, "Message": {cutBytes(smsText(m), 1600)},
		"MessageAttributes.entry.1.Name":              {"AWS.SNS.SMS.SMSType"},
		"MessageAttributes.entry.1.Value.DataType":    {"String"},
		"MessageAttributes.entry.1.Value.StringValue": {kind},
	}
	if s.config.SenderID != "" {
		form.Set("MessageAttributes.entry.2.Name", "AWS.SNS.SMS.SenderID")
		form.Set("MessageAttributes.entry.2.Value.DataType", "String")
		form.Set("MessageAttributes.entry.2.Value.StringValue", s.config.SenderID)
	}
	request := egress.Request{
		Method: http.MethodPost, URL: s.url, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
	if err := s.sign.sign(ctx, &request, s.Now()); err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "the request could not be signed", Cause: err}
	}
	response, err := s.call(ctx, request, false)
	if err != nil {
		return channel.Receipt{}, err
	}
	if response.Status >= 200 && response.Status <= 299 {
		var body struct {
			XMLName   xml.Name `xml:"PublishResponse"`
			MessageID string   `xml:"PublishResult>MessageId"`
		}
		if xml.Unmarshal(response.Body, &body) != nil || body.MessageID == "" {
			return channel.Receipt{}, unreadable(response)
		}
		return channel.Receipt{Provider: NameSNS, MessageID: body.MessageID}, nil
	}
	var body struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}
	if xml.Unmarshal(response.Body, &body) != nil {
		body.Code = ""
	}
	return channel.Receipt{}, s.refused(snsRefusal(response, body.Code, body.Message))
}

// snsRefusal says what an error code means (Amazon SNS API reference: Publish, common errors).
func snsRefusal(response *egress.Response, code, message string) refusal {
	r := refusal{response: response, code: code}
	switch code {
	case "Throttled", "Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "KMSThrottling":
		r.class = channel.Throttled
	case "OptedOut", "OptedOutException":
		r.class, r.detail = channel.Suppressed, "the recipient has opted out"
	case "InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError":
		r.class, r.detail = channel.Permanent, "the number or the message is not accepted"
		if strings.Contains(strings.ToLower(message), "opted out") {
			r.class, r.detail = channel.Suppressed, "the recipient has opted out"
		}
	case "AuthorizationError", "AuthorizationErrorException", "AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch",
		"IncompleteSignature", "MissingAuthenticationToken", "ExpiredToken", "RequestExpired", "OptInRequired", "InvalidSecurity", "NotAuthorized":
		r.config, r.detail = true, "the provider does not accept the credentials"
	}
	return r
}
