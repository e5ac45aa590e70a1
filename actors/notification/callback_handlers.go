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
func (a *Actor) providerCallback(ctx context.Context, r subjects.ProviderCallbackRequest) (subjects.Empty, error) {
	receive, known := a.mail.receivers[r.Provider]
	if !known {
		a.metrics.callbacks.WithLabelValues(callbackUnknown, callbackUnknown).Inc()
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "no callbacks are taken from this provider")
	}
	header := make(http.Header, len(r.Headers))
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	reports, err := receive(ctx, a.mail.callbackURL(r), header, r.Body)
	if err == nil {
		err = a.takeReports(ctx, r.Provider, reports)
	}
	a.metrics.callbacks.WithLabelValues(r.Provider, callbackResult(err)).Inc()
	if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
		a.Log.Debug("callback refused", zap.String("provider", r.Provider), zap.Error(err))
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
func (a *Actor) takeReports(ctx context.Context, provider string, reports []providers.Feedback) error {
	for _, r := range reports {
		if err := a.takeReport(ctx, provider, r); err != nil {
			return err
		}
	}
	return nil
}

// takeReport applies one report, once.
func (a *Actor) takeReport(ctx context.Context, provider string, r providers.Feedback) error {
	address, err := a.reportedAddress(ctx, provider, r)
	if err != nil {
		return err
	}
	var suppression *suppressionRow
	if reason := suppressionOf(r); reason != "" && address != "" {
		row, err := a.mail.newSuppression(ctx, address, reason)
		if err != nil {
			return err
		}
		row.Provider, row.Detail = provider, r.Detail
		suppression = &row
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		isNew, err := a.store.recordReport(ctx, tx, reportRow{Provider: provider, ReportID: r.ID, ReceivedAt: a.Now().UnixMicro()})
		if err != nil || !isNew {
			return err
		}
		d, known, err := a.reportedDelivery(ctx, tx, provider, r)
		if err != nil {
			return err
		}
		if !known && a.Now().Sub(r.At) < reportRace {
			return errTooEarly
		}
		if suppression != nil {
			suppression.UserID = d.UserID
			if err := a.store.suppress(ctx, tx, *suppression); err != nil {
				return err
			}
		}
		a.DB.AfterCommit(ctx, func() { a.countReport(provider, r.Kind, address) })
		if !known {
			return nil
		}
		return a.applyReport(ctx, tx, d, r)
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
func (a *Actor) reportedDelivery(ctx context.Context, tx database.Tx, provider string, r providers.Feedback) (sentRow, bool, error) {
	if r.NotificationID != "" {
		return a.store.deliveryOf(ctx, tx, r.NotificationID, channel.Email)
	}
	return a.store.deliveryByProviderID(ctx, tx, provider, r.MessageID)
}

// reportedAddress returns the recipient's address: the report's, or the user's present one where the report proves that it is that.
func (a *Actor) reportedAddress(ctx context.Context, provider string, r providers.Feedback) (address string, err error) {
	if r.Address != "" || r.Matches == nil {
		return r.Address, nil
	}
	var d sentRow
	known := false
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		d, known, err = a.reportedDelivery(ctx, tx, provider, r)
		return err
	})
	if err != nil || !known {
		return "", err
	}
	contact, err := mesh.Call(ctx, a.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: d.UserID})
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return "", nil
	}
	if err != nil || !r.Matches(contact.Email) {
		return "", err
	}
	return contact.Email, nil
}

// applyReport applies a report to the delivery that it is about.
func (a *Actor) applyReport(ctx context.Context, tx database.Tx, d sentRow, r providers.Feedback) error {
	switch r.Kind {
	case providers.ReportFailed:
		return a.store.failDelivered(ctx, tx, d, truncate("the message bounced: "+r.Detail, maxError), a.Now())
	case providers.ReportComplained, providers.ReportUnsubscribed:
		if !canUnsubscribe(d.Category) {
			return nil
		}
		return a.mail.unsubscribe(ctx, tx, d.UserID, d.Category, d.Channel)
	case providers.ReportOpened, providers.ReportClicked:
		if a.mail.tracked != nil {
			return a.mail.tracked(ctx, tx, d, r)
		}
	}
	return nil
}

// countReport counts a report about mail.
func (a *Actor) countReport(provider, kind, address string) {
	if !slices.Contains([]string{providers.NameSMTP, providers.NameSES, providers.NameSendGrid}, provider) {
		return
	}
	switch kind {
	case providers.ReportDelivered:
		a.metrics.mailDelivered.WithLabelValues(domainClass(address)).Inc()
	case providers.ReportFailed:
		a.metrics.mailFailed.WithLabelValues(domainClass(address)).Inc()
	case providers.ReportComplained:
		a.metrics.complaints.WithLabelValues(domainClass(address)).Inc()
	}
}

// maintainMail makes the secret of mail at the start, and deletes old records of reports.
func (a *Actor) maintainMail(ctx context.Context) error {
	return every(ctx, mailMaintenance, func(ctx context.Context) error {
		if _, err := a.mail.keys.key(ctx, ""); err != nil {
			return err
		}
		for deleted := int64(surplusBatch); deleted == surplusBatch; {
			err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
				deleted, err = a.store.deleteReports(ctx, tx, a.Now().Add(-reportsKept))
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
