package notification

import (
	"time"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/notification/webhooks"
)

// Config is the section notification of the settings.
type Config struct {
	SMTP     providers.SMTPConfig     `koanf:"smtp"`
	SendGrid providers.SendGridConfig `koanf:"sendgrid"`
	SES      providers.SESConfig      `koanf:"ses"`
	DKIM     DKIMConfig               `koanf:"dkim"`
	// PublicURL is the gateway's base URL as recipients and providers reach it: the prefix of links in mail. Empty for
	// integration.public_url. Mail programs unsubscribe with one click by https only.
	PublicURL string `koanf:"public_url"`
	// ExecutionURL is the page of an application that shows an execution, with {execution_id} in the place of its id, such as
	// https://app.example.com/executions/{execution_id}. Notifications of failures link to it. Empty: they have no link.
	ExecutionURL string `koanf:"execution_url"`
	// Twilio, SNS, FCM, APNs and WebPush are the providers of SMS and push messages.
	Twilio  providers.TwilioConfig  `koanf:"twilio"`
	SNS     providers.SNSConfig     `koanf:"sns"`
	FCM     providers.FCMConfig     `koanf:"fcm"`
	APNs    providers.APNsConfig    `koanf:"apns"`
	WebPush providers.WebPushConfig `koanf:"webpush"`
	// Phone is how users' phone numbers are verified, Devices bounds users' devices.
	Phone     PhoneConfig     `koanf:"phone"`
	Devices   DevicesConfig   `koanf:"devices"`
	Pipeline  PipelineConfig  `koanf:"pipeline"`
	Templates TemplatesConfig `koanf:"templates"`
	// Tick is the interval between two queries for notifications whose send_at has passed, and so the longest delay.
	Tick time.Duration `koanf:"tick"`
	// MaxScheduledPerUser is how many notifications of a user may wait for their send_at.
	MaxScheduledPerUser int `koanf:"max_scheduled_per_user"`
	// MaxKeptPerUser is how many notifications are kept for a user, MaxKeptBytesPerUser how many bytes of them: the newest. Those that
	// are still to be delivered are kept beyond it.
	MaxKeptPerUser      int   `koanf:"max_kept_per_user"`
	MaxKeptBytesPerUser int64 `koanf:"max_kept_bytes_per_user"`

	Webhooks webhooks.Config `koanf:"webhooks"`
}

// DefaultConfig returns settings without a provider of mail.
func DefaultConfig() Config {
	return Config{
		SMTP:     providers.SMTPConfig{Port: 587, From: "weft <weft@localhost>", TLS: providers.TLSStart, Timeout: 30 * time.Second, Weight: 1},
		SendGrid: providers.SendGridConfig{Weight: 1}, SES: providers.SESConfig{Topics: []string{}, Weight: 1},
		Twilio: providers.TwilioConfig{Weight: 1}, SNS: providers.SNSConfig{Weight: 1}, Phone: defaultPhoneConfig(), Devices: defaultDevicesConfig(),
		Pipeline: defaultPipelineConfig(), Webhooks: webhooks.DefaultConfig(),
		Tick: time.Second, MaxScheduledPerUser: 1000, MaxKeptPerUser: 5000, MaxKeptBytesPerUser: 32 << 20,
		Templates: DefaultTemplatesConfig(),
	}
}
