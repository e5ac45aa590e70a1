// Package notification is the actor that notifies users.
//
// It owns:
//   - the subjects weft.v1.notification.*
//   - the tables notifications, deliveries, batches, notification_settings and notification_counts; devices, phones, phone_codes and channel_keys
//   - the tables templates and template_revisions; mail_suppressions and provider_reports; and those of webhooks
//   - the jobs notification.deliver and notification.report_webhook in the stream JOBS_NOTIFICATION
//   - the stream FEED, from which the gateway serves server-sent events
//
// It consumes integration.needs_reauth, workflow.run_refused, workflow.executions_failed, consent.privacy_request_changed and
// auth.account_deleted, and the events that package webhooks
// delivers to the webhooks of users.
//
// An accepted notification is committed together with the jobs and feed events that deliver it: none is lost, and the
// inbox shows it once. An e-mail may be sent twice where the process crashes after the server's acceptance and before
// its record; both copies have the same Message-ID.
package notification

import (
	"context"
	"embed"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/webhooks"
	"github.com/weftmesh/weft/subjects"
)

// Migrations creates the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Actor notifies users.
type Actor struct {
	*pipeline

	mail *mailer
	// channels are the providers of SMS and push messages.
	channels *channelProviders
	webhooks *webhooks.Service
}

// New checks the settings and registers the metrics. It does not connect to the mail server.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	counted := newMetrics(d.Metrics)
	keys := newChannelKeys(d)
	mail, err := newMailer(d, c, counted, keys)
	if err != nil {
		return nil, err
	}
	hooks, err := webhooks.New(d, c.Webhooks)
	if err != nil {
		return nil, err
	}
	templates, err := newTemplateCatalog(d, c.Templates)
	if err != nil {
		return nil, err
	}
	a := &Actor{mail: mail, webhooks: hooks, pipeline: &pipeline{
		Deps: d, config: c, store: store{db: d.DB}, metrics: counted, bounds: newBounds(d, c, hooks.Bounds()...), templates: templates,
	}}
	if a.channels, err = newChannels(d, c, keys); err != nil {
		return nil, err
	}
	mail.switchOff, mail.reported = a.switchOff, a.reported
	hooks.Connect(a.inform, a.bounds.Quotas)
	a.seams = seams{
		providers: map[string]channel.Provider{channel.Email: mail}, phones: a.phones, devices: a.devicesOf, dropAddress: a.dropAddress,
		toWebhooks: a.toWebhooks,
	}
	a.channels.addTo(a.seams.providers)
	return a, nil
}

// Service lists the actor's endpoints, consumers and background work.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "notification",
		Bindings: append(a.webhooks.Bindings(),
			actors.Bind(subjects.SendNotification, a.send),
			actors.Bind(subjects.GetNotification, a.get),
			actors.Bind(subjects.ListNotifications, a.list),
			actors.Bind(subjects.MarkAsRead, a.markAsRead),
			actors.Bind(subjects.MarkAllRead, a.markAllRead),
			actors.Bind(subjects.CancelNotification, a.cancel),
			actors.Bind(subjects.CancelByKey, a.cancelByKey),
			actors.Bind(subjects.GetNotificationSettings, a.getSettings),
			actors.Bind(subjects.UpdateNotificationSettings, a.updateSettings),
			actors.Bind(subjects.StreamNotifications, a.stream),
			actors.Bind(subjects.GetNotificationLimits, a.getLimits),
			actors.Bind(subjects.GetAnalytics, a.getAnalytics),
			actors.Bind(subjects.Unsubscribe, a.mail.unsubscribe),
			actors.Bind(subjects.UnsubscribePage, a.mail.unsubscribePage),
			actors.Bind(subjects.ProviderCallback, a.mail.providerCallback),
			actors.Bind(subjects.ListSuppressions, a.mail.listSuppressions),
			actors.Bind(subjects.AddSuppression, a.mail.addSuppression),
			actors.Bind(subjects.DeleteSuppression, a.mail.deleteSuppression),
			actors.Bind(subjects.RegisterDevice, a.registerDevice),
			actors.Bind(subjects.ListDevices, a.listDevices),
			actors.Bind(subjects.DeleteDevice, a.deleteDevice),
			actors.Bind(subjects.GetPushKey, a.getPushKey),
			actors.Bind(subjects.SetPhone, a.setPhone),
			actors.Bind(subjects.VerifyPhone, a.verifyPhone),
			actors.Bind(subjects.GetPhone, a.getPhone),
			actors.Bind(subjects.DeletePhone, a.deletePhone),
			actors.Bind(subjects.PutTemplate, a.templates.putTemplate),
			actors.Bind(subjects.GetTemplate, a.templates.getTemplate),
			actors.Bind(subjects.ListTemplates, a.templates.listTemplates),
			actors.Bind(subjects.PreviewTemplate, a.templates.previewTemplate),
			actors.Bind(subjects.DeleteTemplate, a.templates.deleteTemplate),
			dataexport.Bind(subjects.ExportNotificationSubject, a.Deps, ExportSet()),
		),
		Workers: append(a.webhooks.Workers(),
			actors.Work(subjects.Deliver, a.deliver),
			actors.Listen(subjects.NotifyReauth, a.notifyReauth),
			actors.Listen(subjects.NotifyRunRefused, a.notifyRefusedRun),
			actors.Listen(subjects.NotifyPrivacyRequest, a.notifyPrivacyRequest),
			actors.Listen(subjects.NotifyFailures, a.notifyFailures),
			actors.OnErasure(a.Deps, subjects.NotificationErasure, subjects.NotificationErased, a.erase),
		),
		Background: map[string]func(context.Context) error{
			"scheduled": a.runScheduled, "lost": a.runSweeper, "account_mail": a.deleteAccountMail, "prune": a.pruneNotifications,
			"phone_codes": a.prunePhones, "mail": a.mail.maintain,
			"webhooks": a.webhooks.Run, "webhook_usage": a.webhooks.Maintain,
			"analytics": a.deleteOldCounts,
		},
	}
}
