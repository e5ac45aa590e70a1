package notification

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// The channels.
const (
	channelInApp = "in_app"
	channelEmail = "email"
)

// The statuses of a delivery and of a notification. Only a notification is scheduled.
const (
	statusScheduled = "scheduled"
	statusPending   = "pending"
	statusDelivered = "delivered"
	statusFailed    = "failed"
	statusCancelled = "cancelled"
)

// resultRetried is the metric's result of an attempt after which the delivery is still pending; the other results are
// statuses.
const resultRetried = "retried"

// The statuses of send_notification's reply.
const (
	refAccepted  = "accepted"
	refDuplicate = "duplicate"
)

const categoryMarketing = "marketing"

const (
	// maxAhead bounds send_at.
	maxAhead = 366 * 24 * time.Hour
	// maxData bounds a notification's data in bytes, names and values.
	maxData = 64 << 10
	// maxPage bounds a page in bytes, well below the message limit. A single notification is always smaller.
	maxPage = 512 << 10
	// maxError bounds the recorded error of a delivery in bytes.
	maxError = 500
)

// permanentError marks a failed attempt that a retry cannot repair.
type permanentError struct{ error }

// Unwrap returns the cause.
func (e permanentError) Unwrap() error { return e.error }

var errOtherRecipient = subjects.Errorf(subjects.CodeForbidden, "only an admin may notify another user")

// recipient returns the user to notify: the caller, or under a grant the user who gave it, unless the request names another one. A
// service without a grant and an admin may name any user; for everybody else another user is forbidden.
func recipient(caller actors.Caller, r subjects.SendNotificationRequest) (string, error) {
	named := strings.ToLower(r.UserID)
	switch {
	case named != "" && named == caller.UserID:
		return caller.UserID, nil
	case caller.Grant.ConsentID != "" && named != "":
		return "", errOtherRecipient
	case caller.Grant.ConsentID != "":
		return caller.UserID, nil
	case r.UserID != "" && (caller.Service != "" || caller.HasRole(subjects.RoleAdmin)):
		return r.UserID, nil
	case named != "":
		return "", errOtherRecipient
	case caller.UserID == "":
		return "", subjects.InvalidField("user_id", "is required")
	}
	return caller.UserID, nil
}

// checkRequest applies the rules that the schema cannot express and returns the request with its default channel.
func checkRequest(r subjects.SendNotificationRequest, now time.Time) (subjects.SendNotificationRequest, error) {
	if len(r.Channels) == 0 {
		r.Channels = []string{channelInApp}
	}
	for _, channel := range r.Channels {
		if channel != channelInApp && channel != channelEmail {
			return r, &subjects.Error{
				Code: subjects.CodeUnsupported, Detail: "channel " + channel + " is not supported",
				Fields: []subjects.FieldError{{Field: "channels", Message: channel + " is not supported; use in_app or email"}},
			}
		}
	}
	if r.Template != "" {
		return r, &subjects.Error{
			Code: subjects.CodeUnsupported, Detail: "templates are not supported: give subject and body",
			Fields: []subjects.FieldError{{Field: "template", Message: "templates are not supported"}},
		}
	}
	if r.Subject == "" && r.Body == "" {
		return r, subjects.InvalidField("subject", "subject or body is required")
	}
	size := 0
	for key, value := range r.Data {
		size += len(key) + len(value)
	}
	if size > maxData {
		return r, subjects.InvalidField("data", "is larger than %d bytes", maxData)
	}
	if r.SendAt != nil && r.SendAt.After(now.Add(maxAhead)) {
		return r, subjects.InvalidField("send_at", "is more than a year ahead")
	}
	return r, nil
}

// statusOf returns a notification's status: failed where a channel has failed, delivered once all have delivered.
func statusOf(n notificationRow, channels []deliveryRow) string {
	switch {
	case n.Cancelled:
		return statusCancelled
	case !n.Started:
		return statusScheduled
	}
	status := statusDelivered
	for _, d := range channels {
		switch d.Status {
		case statusFailed:
			return statusFailed
		case statusPending:
			status = statusPending
		}
	}
	return status
}

// afterAttempt returns the status of a delivery after its attempts, the last of which ended with err.
func afterAttempt(err error, attempts, maxAttempts int) string {
	var permanent permanentError
	switch {
	case err == nil:
		return statusDelivered
	case errors.As(err, &permanent) || attempts >= maxAttempts:
		return statusFailed
	}
	return statusPending
}

// truncate cuts s to at most limit bytes without splitting a rune.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
