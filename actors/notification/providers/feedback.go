package providers

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// The kinds of reports.
const (
	// ReportDelivered: the recipient's server has accepted the message.
	ReportDelivered = "delivered"
	// ReportFailed: the provider has given the message up. Feedback.Dead says that the address takes no mail at all.
	ReportFailed = "failed"
	// ReportComplained: the recipient has marked the message as spam.
	ReportComplained = "complained"
	// ReportUnsubscribed: the recipient has unsubscribed at the provider.
	ReportUnsubscribed = "unsubscribed"
	// ReportOpened and ReportClicked: the recipient has opened the message, or followed Feedback.URL.
	ReportOpened  = "opened"
	ReportClicked = "clicked"
)

// Feedback is what a provider reports about one message to one address, verified.
type Feedback struct {
	// ID is the same in every repetition of the report, and unique at the provider. At most MaxReportID bytes.
	ID   string
	Kind string
	// MessageID is that of the receipt. NotificationID is in its place where the report carries the notification itself.
	MessageID, NotificationID string
	// Address is the recipient's; empty if the report does not say. Matches, if set, tells whether an address is it.
	Address string
	Matches func(address string) bool
	// Dead says that the address takes no mail, whatever the message.
	Dead bool
	// Detail is plain text without addresses.
	Detail string
	URL    string
	At     time.Time
}

// MaxReportID bounds the id of a report in bytes.
const MaxReportID = 200

// maxDetail bounds Feedback.Detail in bytes.
const maxDetail = 300

// errUnverified refuses a callback whose origin cannot be verified. It does not say why.
func errUnverified(cause error) error {
	return &subjects.Error{Code: subjects.CodeUnauthenticated, Detail: "the callback is not authentic", Cause: cause}
}

// errMalformed refuses a verified callback that cannot be read.
func errMalformed(cause error) error {
	return &subjects.Error{Code: subjects.CodeInvalid, Detail: "the callback is malformed", Cause: cause}
}

// brief returns a provider's text as the detail of a report.
func brief(text string) string {
	text = redact(text)
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return redact(text) // valid UTF-8 again
}
