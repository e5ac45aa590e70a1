package webhooks

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// Workers are the consumers of events that become public ones, and of reports to the owners of webhooks. This file alone says which internal
// event becomes which public one, and with which data. Data holds what the user's own requests show, and no secret.
func (w *Service) Workers() []actors.Worker {
	return []actors.Worker{
		intake(w, subjects.DeliverExecutionsFinished, executionEvents),
		intake(w, subjects.DeliverRunRefused, func(e subjects.RunRefusal, _ subjects.Envelope[subjects.RunRefusal]) []publicEvent {
			return one(subjects.PublicRunRefused, e.WorkflowID, subjects.PublicRefusal(e))
		}),
		intake(w, subjects.DeliverIntegrationConnected, connectionEvents(subjects.PublicConnected)),
		intake(w, subjects.DeliverIntegrationDisconnect, connectionEvents(subjects.PublicDisconnected)),
		intake(w, subjects.DeliverIntegrationNeedsReauth, connectionEvents(subjects.PublicNeedsReauth)),
		intake(w, subjects.DeliverConsentChanged, consentEvents),
		intake(w, subjects.DeliverPrivacyRequest, func(e subjects.PrivacyRequestChange, _ subjects.Envelope[subjects.PrivacyRequestChange]) []publicEvent {
			return one(subjects.PublicPrivacyRequestChanged, e.RequestID, subjects.PublicPrivacyRequest(e))
		}),
		intake(w, subjects.DeliverSessionStarted, func(e subjects.SessionStarted, _ subjects.Envelope[subjects.SessionStarted]) []publicEvent {
			return one(subjects.PublicSessionStarted, e.SessionID, subjects.PublicSessionStart(e))
		}),
		intake(w, subjects.DeliverSessionEnded, func(e subjects.SessionEnded, _ subjects.Envelope[subjects.SessionEnded]) []publicEvent {
			return one(subjects.PublicSessionEnded, e.SessionID, subjects.PublicSessionEnd(e))
		}),
		intake(w, subjects.DeliverUserUpdated, func(e subjects.UserUpdated, _ subjects.Envelope[subjects.UserUpdated]) []publicEvent {
			return one(subjects.PublicUserUpdated, e.UserID, subjects.PublicUserUpdate(e))
		}),
		actors.Work(subjects.ReportWebhook, w.report),
	}
}

// intake binds a mapping to an event.
func intake[T any](w *Service, s subjects.Subscription[T], mapped func(T, subjects.Envelope[T]) []publicEvent) actors.Worker {
	return actors.Listen(s, func(ctx context.Context, e subjects.Envelope[T]) error {
		return w.deliver(ctx, intakeOf(e.ID, e.UserID, e.Time, mapped(e.Data, e)...))
	})
}

func one[T any](e subjects.PublicEvent[T], ordering string, data T) []publicEvent {
	return []publicEvent{publicOf(e, ordering, data)}
}

// executionEvents maps a batch of ended executions to an event for each.
func executionEvents(ended subjects.ExecutionsEnded, _ subjects.Envelope[subjects.ExecutionsEnded]) []publicEvent {
	byStatus := map[string]subjects.PublicEvent[subjects.PublicExecution]{
		"completed": subjects.PublicExecutionCompleted, "faulted": subjects.PublicExecutionFaulted, "cancelled": subjects.PublicExecutionCancelled,
	}
	events := make([]publicEvent, 0, len(ended.Executions))
	for _, x := range ended.Executions {
		if e, ok := byStatus[x.Status]; ok {
			events = append(events, publicOf(e, x.ExecutionID, subjects.PublicExecution(x)))
		}
	}
	return events
}

// connectionEvents maps a change of a connection to an event.
func connectionEvents(
	e subjects.PublicEvent[subjects.PublicConnection],
) func(subjects.ConnectionChange, subjects.Envelope[subjects.ConnectionChange]) []publicEvent {
	return func(c subjects.ConnectionChange, _ subjects.Envelope[subjects.ConnectionChange]) []publicEvent {
		return one(e, c.IntegrationID, subjects.PublicConnection(c))
	}
}

// consentEvents maps a change of a consent to an event.
func consentEvents(c subjects.ConsentChange, _ subjects.Envelope[subjects.ConsentChange]) []publicEvent {
	byChange := map[string]subjects.PublicEvent[subjects.PublicConsent]{
		"granted": subjects.PublicConsentGranted, "revoked": subjects.PublicConsentRevoked, "superseded": subjects.PublicConsentSuperseded,
		"refused": subjects.PublicConsentRefused, "renewal_required": subjects.PublicConsentRenewalRequired, "gpc": subjects.PublicConsentSuppressed,
	}
	e, ok := byChange[c.Change]
	if !ok {
		return nil
	}
	return one(e, c.ConsentID, subjects.PublicConsent{
		ConsentID: c.ConsentID, Scope: c.Scope, PurposeID: c.PurposeID, PurposeVersion: c.PurposeVersion, ChangedAt: c.At,
	})
}
