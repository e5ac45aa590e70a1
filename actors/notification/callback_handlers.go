package notification

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The results of callbacks in the metric. A provider that is not configured is counted as unknown, because anyone may request its URL.
const (
	callbackAccepted   = "accepted"
	callbackUnverified = "unverified"
	callbackMalformed  = "malformed"
	callbackFailed     = "failed"
	callbackUnknown    = "unknown"
)

// providerCallback takes what a provider reports. Nothing is recorded of a callback that cannot be verified.
func (m *mailer) providerCallback(ctx context.Context, r subjects.ProviderCallbackRequest) (subjects.Empty, error) {
	receive, known := m.receivers[r.Provider]
	if !known {
		m.metrics.callbacks.WithLabelValues(callbackUnknown, callbackUnknown).Inc()
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "no callbacks are taken from this provider")
	}
	header := make(http.Header, len(r.Headers))
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	reports, err := receive(ctx, m.callbackURL(r), header, r.Body)
	if err == nil {
		err = m.takeReports(ctx, r.Provider, reports)
	}
	m.metrics.callbacks.WithLabelValues(r.Provider, callbackResult(err)).Inc()
	if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
		m.Log.Debug("callback refused", zap.String("provider", r.Provider), zap.Error(err))
	}
	return subjects.Empty{}, err
}

func callbackResult(err error) string {
	switch {
	case err == nil:
		return callbackAccepted
	case subjects.CodeOf(err) == subjects.CodeUnauthenticated:
		return callbackUnverified
	case subjects.CodeOf(err) == subjects.CodeInvalid:
		return callbackMalformed
	}
	return callbackFailed
}

// takeReports applies the reports of one callback, each in a transaction of its own, so that a repetition of the callback continues where
// this one ended.
func (m *mailer) takeReports(ctx context.Context, provider string, reports []providers.Feedback) error {
	for _, r := range reports {
		if err := m.takeReport(ctx, provider, r); err != nil {
			return err
		}
	}
	return nil
}

// takeReport applies one report, once.
func (m *mailer) takeReport(ctx context.Context, provider string, r providers.Feedback) error {
	address, err := m.reportedAddress(ctx, provider, r)
	if err != nil {
		return err
	}
	var suppression *suppressionRow
	if reason := suppressionOf(r); reason != "" && address != "" {
		row, err := m.newSuppression(ctx, address, reason)
		if err != nil {
			return err
		}
		row.Provider, row.Detail = provider, r.Detail
		suppression = &row
	}
	return m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		isNew, err := m.store.recordReport(ctx, tx, reportRow{Provider: provider, ReportID: r.ID, ReceivedAt: m.Now().UnixMicro()})
		if err != nil || !isNew {
			return err
		}
		d, known, err := m.reportedDelivery(ctx, tx, provider, r)
		if err != nil {
			return err
		}
		if !known && m.Now().Sub(r.At) < reportRace {
			return errTooEarly
		}
		if suppression != nil {
			suppression.UserID = d.UserID
			if err := m.store.suppress(ctx, tx, *suppression); err != nil {
				return err
			}
		}
		m.DB.AfterCommit(ctx, func() { m.countReport(provider, r.Kind, address) })
		if !known {
			return nil
		}
		return m.applyReport(ctx, tx, d, r)
	})
}

// reportRace is the age up to which a report may be earlier than the record of the attempt that it is about.
const reportRace = 30 * time.Second

// errTooEarly makes the provider repeat a report.
var errTooEarly = &subjects.Error{
	Code: subjects.CodeUnavailable, Detail: "the message that the report is about is not recorded yet", RetryAfter: reportRace,
}

// suppressionOf returns why a report suppresses its address; empty if it does not.
func suppressionOf(r providers.Feedback) string {
	switch {
	case r.Kind == providers.ReportFailed && r.Dead:
		return reasonBounce
	case r.Kind == providers.ReportComplained:
		return reasonComplaint
	}
	return ""
}

// reportedDelivery returns the delivery that a report is about; false where it is gone, or the message was not weft's.
func (m *mailer) reportedDelivery(ctx context.Context, tx database.Tx, provider string, r providers.Feedback) (deliveryRow, bool, error) {
	if r.NotificationID != "" {
		return m.store.deliveryOf(ctx, tx, r.NotificationID, channel.Email)
	}
	return m.store.deliveryByProviderID(ctx, tx, provider, r.MessageID)
}

// reportedAddress returns the recipient's address: the report's, or the user's present one where the report proves that it is that.
func (m *mailer) reportedAddress(ctx context.Context, provider string, r providers.Feedback) (address string, err error) {
	if r.Address != "" || r.Matches == nil {
		return r.Address, nil
	}
	var d deliveryRow
	known := false
	err = m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		d, known, err = m.reportedDelivery(ctx, tx, provider, r)
		return err
	})
	if err != nil || !known {
		return "", err
	}
	contact, err := mesh.Call(ctx, m.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: d.UserID})
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return "", nil
	}
	if err != nil || !r.Matches(contact.Email) {
		return "", err
	}
	return contact.Email, nil
}

// applyReport applies a report to the delivery that it is about.
func (m *mailer) applyReport(ctx context.Context, tx database.Tx, d deliveryRow, r providers.Feedback) error {
	if r.Kind == providers.ReportFailed {
		failed, err := m.store.failDelivered(ctx, tx, d, channel.Truncate("the message bounced: "+r.Detail, maxError), m.Now())
		if err != nil || !failed {
			return err // a delivery that has failed already is not counted again
		}
	}
	if err := m.reported(ctx, tx, d, r); err != nil {
		return err
	}
	switch r.Kind {
	case providers.ReportComplained, providers.ReportUnsubscribed:
		if !canUnsubscribe(d.Category) {
			return nil
		}
		return m.switchOff(ctx, tx, d.UserID, d.Category, d.Channel)
	}
	return nil
}

// countReport counts a report about mail.
func (m *mailer) countReport(provider, kind, address string) {
	if !slices.Contains([]string{providers.NameSMTP, providers.NameSES, providers.NameSendGrid}, provider) {
		return
	}
	switch kind {
	case providers.ReportDelivered:
		m.metrics.mailDelivered.WithLabelValues(domainClass(address)).Inc()
	case providers.ReportFailed:
		m.metrics.mailFailed.WithLabelValues(domainClass(address)).Inc()
	case providers.ReportComplained:
		m.metrics.complaints.WithLabelValues(domainClass(address)).Inc()
	}
}

// maintain makes the secret of channelKeys at the start, and deletes old records of reports.
func (m *mailer) maintain(ctx context.Context) error {
	return wait.Repeat(ctx, mailMaintenance, func(ctx context.Context) error {
		if _, err := m.keys.key(ctx, ""); err != nil {
			return err
		}
		for deleted := int64(surplusBatch); deleted == surplusBatch; {
			err := m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
				deleted, err = m.store.deleteReports(ctx, tx, m.Now().Add(-reportsKept))
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
