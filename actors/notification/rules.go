package notification

import (
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// The statuses of a delivery and of a notification. Only a notification is scheduled; only a delivery is deferred or batched.
const (
	statusScheduled  = "scheduled"
	statusPending    = "pending"
	statusDeferred   = "deferred"
	statusBatched    = "batched"
	statusDelivered  = "delivered"
	statusFailed     = "failed"
	statusSuppressed = "suppressed"
	statusCancelled  = "cancelled"
)

// resultRetried is the metric's result of an attempt after which the delivery is still pending; the other results are
// statuses.
const resultRetried = "retried"

// resultRendered is the metric's result of a template that could be rendered; the other one is statusFailed.
const resultRendered = "rendered"

// The statuses of send_notification's reply.
const (
	refAccepted  = "accepted"
	refDuplicate = "duplicate"
)

const (
	// maxAhead bounds send_at.
	maxAhead = 366 * 24 * time.Hour
	// maxData bounds a notification's data in bytes, names and values.
	maxData = 64 << 10
	// maxPage bounds a page in bytes, well below the message limit. A single notification is always smaller.
	maxPage = 512 << 10
	// maxLocale bounds the recorded language of a delivery in bytes.
	maxLocale = 35
	// maxError bounds the recorded error of a delivery in bytes.
	maxError = 500
	// maxProvider and maxMessageID bound what is recorded of a receipt, in bytes.
	maxProvider, maxMessageID = 64, 200
)

var errOtherRecipient = subjects.Errorf(subjects.CodeForbidden, "only an admin may notify another user")

// recipient returns the user to notify: the caller, or under a grant the user who gave it, unless the request names another one. A
// service without a grant and an admin may name any user; for everybody else another user is forbidden.
func recipient(caller actors.Caller, userID string) (string, error) {
	named := strings.ToLower(userID)
	switch {
	case named != "" && named == caller.UserID:
		return caller.UserID, nil
	case caller.Grant.ConsentID != "" && named != "":
		return "", errOtherRecipient
	case caller.Grant.ConsentID != "":
		return caller.UserID, nil
	case userID != "" && (caller.Service != "" || caller.HasRole(subjects.RoleAdmin)):
		return userID, nil
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
		r.Channels = []string{channel.InApp}
	}
	if r.Template == "" && r.Subject == "" && r.Body == "" {
		return r, subjects.InvalidField("subject", "subject or body is required, or a template")
	}
	if r.Template != "" && (r.Subject != "" || r.Body != "") {
		return r, subjects.InvalidField("template", "is given with subject or body, which it replaces")
	}
	if _, err := templateData(r.Data); r.Template != "" && err != nil {
		return r, subjects.InvalidField("data", "%s", err)
	}
	if dataSize(r.Data) > maxData {
		return r, subjects.InvalidField("data", "is larger than %d bytes", maxData)
	}
	if r.SendAt != nil && r.SendAt.After(now.Add(maxAhead)) {
		return r, subjects.InvalidField("send_at", "is more than a year ahead")
	}
	if b := r.Batch; b != nil && b.MaxWait != 0 && b.MaxWait < b.Window {
		return r, subjects.InvalidField("batch.max_wait", "is less than window")
	}
	return r, nil
}

// statusOf returns a notification's status: failed where a channel has failed, otherwise pending where one still waits, delivered where one
// has delivered, cancelled where one was cancelled, and suppressed where all were.
func statusOf(n notificationRow, channels []deliveryRow) string {
	switch {
	case n.Cancelled:
		return statusCancelled
	case !n.Started:
		return statusScheduled
	}
	has := map[string]bool{}
	for _, d := range channels {
		has[d.Status] = true
	}
	switch {
	case has[statusFailed]:
		return statusFailed
	case has[statusPending], has[statusDeferred], has[statusBatched]:
		return statusPending
	case has[statusCancelled] && !has[statusDelivered]:
		return statusCancelled
	case has[statusSuppressed] && !has[statusDelivered]:
		return statusSuppressed
	}
	return statusDelivered
}
