package notification

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// outcomeError is the error of an attempt with the reason that is recorded for it.
type outcomeError struct {
	reason reason
	cause  *channel.Error
}

func (e outcomeError) Error() string { return e.cause.Error() }

// Unwrap returns the classified error.
func (e outcomeError) Unwrap() error { return e.cause }

// worthier returns the one of two errors that a later attempt is the more likely to repair; nil is the least likely.
func worthier(a, b error) error {
	rank := map[channel.Class]int{channel.Transient: 3, channel.Throttled: 3, channel.Permanent: 2, channel.Suppressed: 1}
	switch {
	case b == nil:
		return a
	case a == nil, rank[channel.ClassOf(b)] > rank[channel.ClassOf(a)]:
		return b
	}
	return a
}

// final reports whether a delivery is over.
func (d deliveryRow) final() bool {
	switch d.Status {
	case statusDelivered, statusFailed, statusSuppressed, statusCancelled:
		return true
	}
	return false
}

// after returns the state of a claimed delivery after its attempt: delivered, failed, suppressed, or to be tried again at a time after now.
// After as many attempts as the job has deliveries, there is no other. A receipt beside an error is that of devices that have accepted, while
// others are to be tried again.
func (d deliveryRow) after(receipt channel.Receipt, err error, job subjects.Consumer, now time.Time) deliveryRow {
	d.Error, d.Reason, d.NextAttemptAt, d.UpdatedAt = "", "", 0, now.UnixMicro()
	if d.AcceptedAt == 0 && (err == nil || receipt.Provider != "") {
		d.AcceptedAt = now.UnixMicro()
		d.Provider, d.ProviderMessageID = channel.Truncate(receipt.Provider, maxProvider), channel.Truncate(receipt.MessageID, maxMessageID)
	}
	if err == nil {
		return d.delivered()
	}
	var failed *channel.Error
	if errors.As(err, &failed) && failed.Uncertain && d.AcceptedAt == 0 {
		d.Provider = channel.Truncate(failed.Provider, maxProvider)
	}
	d.Error = channel.Truncate(strings.ToValidUTF8(err.Error(), "\ufffd"), maxError)
	class := channel.ClassOf(err)
	again := max(job.Backoff[min(max(d.Attempts, 1), len(job.Backoff))-1], min(retryAfter(err), maxRetryAfter))
	switch {
	case class == channel.Suppressed:
		d.Status, d.Reason = statusSuppressed, reasonAddressRefused
	case class == channel.Permanent:
		d.Status, d.Reason = statusFailed, reasonRefused
	case d.Attempts >= job.MaxDeliver:
		d.Status, d.Reason = statusFailed, reasonExhausted
	case class == channel.Throttled:
		d.Status, d.Reason, d.NextAttemptAt = statusDeferred, reasonProviderThrottled, now.Add(again).UnixMicro()
	default:
		d.Status, d.Reason, d.NextAttemptAt = statusPending, reasonAttemptFailed, now.Add(again).UnixMicro()
	}
	var outcome outcomeError
	if errors.As(err, &outcome) {
		d.Reason = outcome.reason
	}
	if d.AcceptedAt != 0 && d.final() {
		return d.delivered()
	}
	return d
}

// delivered returns the state of a delivery that has been accepted, by one device at least, and has no further attempt.
func (d deliveryRow) delivered() deliveryRow {
	d.Status, d.Reason, d.Error, d.NextAttemptAt, d.Devices = statusDelivered, "", "", 0, ""
	return d
}

// goesTo reports whether the next attempt goes to an address.
func (d deliveryRow) goesTo(a channel.Address) bool {
	return d.Devices == "" || slices.Contains(strings.Fields(d.Devices), a.DeviceID)
}

// retryAfter is the time that a provider asked to wait; 0 for none.
func retryAfter(err error) time.Duration {
	var e *channel.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
