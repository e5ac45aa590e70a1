package notification

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// Channels.
const (
	inApp = "in_app"
	email = "email"
)

// States of a delivery, and of a notification as a whole.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
	cancelled = "cancelled"
	scheduled = "scheduled"
)

// maxAhead bounds send_at.
const maxAhead = 366 * 24 * time.Hour

// maxData bounds what travels with a notification, in bytes: what is larger goes by reference.
const maxData = 64 << 10

// check applies the rules that the schema cannot say, and fills in the default channel.
func check(r subjects.SendNotificationRequest, now time.Time) (subjects.SendNotificationRequest, error) {
	if len(r.Channels) == 0 {
		r.Channels = []string{inApp}
	}
	for _, channel := range r.Channels {
		if channel != inApp && channel != email {
			return r, &subjects.Error{
				Code: subjects.CodeUnsupported, Detail: "the channel " + channel + " is not served",
				Fields: []subjects.FieldError{{Field: "channels", Message: channel + " is not served; in_app and email are"}},
			}
		}
	}
	if r.Template != "" {
		return r, &subjects.Error{
			Code: subjects.CodeUnsupported, Detail: "there are no templates: give subject and body",
			Fields: []subjects.FieldError{{Field: "template", Message: "there are no templates"}},
		}
	}
	if r.Subject == "" && r.Body == "" {
		return r, subjects.InvalidField("subject", "a notification needs a subject or a body")
	}
	size := 0
	for key, value := range r.Data {
		size += len(key) + len(value)
	}
	if size > maxData {
		return r, subjects.InvalidField("data", "has more than %d bytes", maxData)
	}
	if r.SendAt != nil && r.SendAt.After(now.Add(maxAhead)) {
		return r, subjects.InvalidField("send_at", "is more than a year ahead")
	}
	return r, nil
}

// overall is the notification's status, from its channels'.
func overall(n notificationRow, channels []deliveryRow) string {
	switch {
	case n.Cancelled:
		return cancelled
	case !n.Started:
		return scheduled
	}
	status := delivered
	for _, d := range channels {
		switch d.Status {
		case failed:
			return failed
		case pending:
			status = pending
		}
	}
	return status
}
