package notification

// reason says why a delivery was suppressed, deferred, batched or has failed. It is stable, for programs.
type reason string

// The reasons of suppressed deliveries.
const (
	reasonPreferenceOff  reason = "preference_off"
	reasonCondition      reason = "condition_not_met"
	reasonConsent        reason = "consent_missing"
	reasonNoAddress      reason = "no_address"
	reasonAddressRefused reason = "address_suppressed"
)

// The reasons of deferred deliveries.
const (
	reasonQuietHours        reason = "quiet_hours"
	reasonOutsideWindows    reason = "outside_windows"
	reasonThrottled         reason = "throttled"
	reasonProviderThrottled reason = "provider_throttled"
	reasonAccountBlocked    reason = "account_blocked"
)

// The reasons of batched deliveries.
const (
	reasonBatch  reason = "batch"
	reasonDigest reason = "digest"
)

// The reasons of failed deliveries, and of pending ones that are tried again.
const (
	reasonRefused       reason = "refused"
	reasonExhausted     reason = "attempts_exhausted"
	reasonNoProvider    reason = "no_provider"
	reasonAccountGone   reason = "account_gone"
	reasonNotRendered   reason = "not_rendered"
	reasonNotStarted    reason = "start_failed"
	reasonAttemptFailed reason = "attempt_failed"
)

// sentences has the text of each reason for people.
var sentences = map[reason]string{
	reasonPreferenceOff:     "The recipient has switched off this category for this channel.",
	reasonCondition:         "The recipient's condition for this category and channel is not met.",
	reasonConsent:           "The recipient does not consent to notifications.marketing.",
	reasonNoAddress:         "The recipient has no address for this channel.",
	reasonAddressRefused:    "The provider reports that the recipient's address must not be used any more.",
	reasonQuietHours:        "It waits for the end of the recipient's quiet hours.",
	reasonOutsideWindows:    "It waits for the recipient's next send window.",
	reasonThrottled:         "The recipient has got as many messages over this channel as the rate allows; it waits for its turn.",
	reasonProviderThrottled: "The provider takes no more messages at present.",
	reasonAccountBlocked:    "The recipient's account is disabled; it waits until the account is enabled.",
	reasonBatch:             "It is collected with others of the same key into one message.",
	reasonDigest:            "It is collected for the recipient's digest.",
	reasonRefused:           "The provider refused the message for good.",
	reasonExhausted:         "The last attempt has failed.",
	reasonNoProvider:        "No provider is configured for this channel.",
	reasonAccountGone:       "The recipient's account no longer exists.",
	reasonNotRendered:       "The template could not be rendered.",
	reasonNotStarted:        "The delivery could not be started.",
	reasonAttemptFailed:     "An attempt has failed; it is tried again.",
}
