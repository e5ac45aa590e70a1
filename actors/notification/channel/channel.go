package channel

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// The channels.
const (
	InApp   = "in_app"
	Email   = "email"
	SMS     = "sms"
	Push    = "push"
	Webhook = "webhook"
)

// Rendered is the text of a notification for one channel.
type Rendered struct {
	Subject string
	// Text is the plain text. HTML is for e-mail and in-app; empty if there is none.
	Text, HTML string
	// Locale is the language the text was rendered in (BCP 47), TemplateVersion the version of the template; 0 for one that weft ships and
	// for a text without a template.
	Locale          string
	TemplateVersion int
}

// Address is where a message goes.
type Address struct {
	// To is an e-mail address, a phone number in E.164, or a device's token. For web push it is the subscription's endpoint.
	To string
	// Platform is a device's: fcm, apns or web. Keys are those of a web push subscription (RFC 8291): p256dh and auth, in base64url.
	Platform string
	Keys     map[string]string
	// DeviceID names the device, so that it can be deleted once the provider reports that its token is invalid.
	DeviceID string
}

// Message is one rendered message to one address.
type Message struct {
	Rendered

	// ID is the same in every attempt, and unique for the notification, the channel and the address. Providers that take an idempotency
	// key get it.
	ID             string
	NotificationID string
	UserID         string
	Category       string
	Address        Address
	// Data is the notification's data. Push providers pass it on.
	Data map[string]json.RawMessage
	// UnsubscribeURL is for List-Unsubscribe (RFC 8058); empty for categories that cannot be unsubscribed from.
	UnsubscribeURL string
	// Track says that the user has consented to the recording of opens and clicks. Without it a provider records neither.
	Track bool
	// Unread is the number of unread notifications of the user, for badges; negative if it is not known.
	Unread int
	// ExpiresAt is when the message is no longer of use; zero if it does not expire.
	ExpiresAt time.Time
	// Provider is the provider of an earlier attempt whose outcome is unknown (Error.Uncertain): no other provider gets the message, in any
	// later attempt. Empty if there is none.
	Provider string
}

// Receipt is a provider's acceptance of a message.
type Receipt struct {
	// Provider is the provider's name, MessageID its own id of the message, by which its callbacks name it.
	Provider, MessageID string
}

// Class says what a failed attempt means for the next one.
type Class string

// The classes.
const (
	// Transient: a later attempt, or another provider, may succeed.
	Transient Class = "transient"
	// Permanent: no attempt can succeed.
	Permanent Class = "permanent"
	// Throttled: the provider takes no more messages now; RetryAfter says when.
	Throttled Class = "throttled"
	// Suppressed: the address must not be used again: it does not exist, has unsubscribed or has complained.
	Suppressed Class = "suppressed"
)

// Error is a failed attempt.
type Error struct {
	Class Class
	// Code is the provider's own code or the HTTP or SMTP status, for the record.
	Code string
	// Detail is plain text without secrets, addresses or content.
	Detail     string
	RetryAfter time.Duration
	// Uncertain: the provider may have accepted the message, such as when it did not answer a request that was sent.
	Uncertain bool
	// Recipient: the provider is well, and its answer concerns this message or its recipient alone. It does not count against the provider.
	Recipient bool
	// Provider is the provider that the error is of, where Router made the attempt.
	Provider string
	Cause    error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Detail
	}
	return e.Detail + " (" + e.Code + ")"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ClassOf returns the class of an error; Transient for one that is no *Error.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// Provider sends messages of one channel. It is safe for concurrent use. Every error is an *Error; any other is taken for one whose outcome
// is unknown (Error.Uncertain). An attempt that the context ended before anything was sent has an *Error that is not Uncertain.
type Provider interface {
	// Name is the provider's name in settings, records and metrics.
	Name() string
	// Send makes one attempt.
	Send(ctx context.Context, m Message) (Receipt, error)
}
