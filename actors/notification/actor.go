// Package notification is the actor that tells users what happened.
//
// It owns the subjects weft.v1.notification.*, the tables notifications and deliveries, the job
// notification.deliver and the stream FEED, from which the gateway serves server-sent events. It listens
// to integration.needs_reauth and auth.account_deleted.
//
// An accepted notification is a row, and what is to be done about it is committed with that row: it is
// neither lost nor delivered in-app twice. A mail may be sent twice if a crash falls between the server's
// acceptance and our note of it; both then carry the same Message-ID.
package notification

import (
	"context"
	"embed"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config are the actor's settings.
type Config struct {
	SMTP SMTPConfig `koanf:"smtp"`
	// Tick is how often notifications with a send_at are looked for: what they may be late by.
	Tick time.Duration `koanf:"tick"`
}

// SMTPConfig is the mail server; without a host the channel email fails with a clear reason.
type SMTPConfig struct {
	Host     string      `koanf:"host"`
	Port     int         `koanf:"port"`
	Username string      `koanf:"username"`
	Password mesh.Secret `koanf:"password"`
	// From is the sender, such as `weft <weft@example.com>`.
	From string `koanf:"from"`
	// TLS is "starttls" (mandatory), "tls" (from the first byte) or "none" (a server on this machine).
	TLS string `koanf:"tls"`
	// Timeout bounds one delivery.
	Timeout time.Duration `koanf:"timeout"`
}

// DefaultConfig has no mail server.
func DefaultConfig() Config {
	return Config{
		SMTP: SMTPConfig{Port: 587, From: "weft <weft@localhost>", TLS: "starttls", Timeout: 30 * time.Second},
		Tick: time.Second,
	}
}

// Actor tells users what happened.
type Actor struct {
	actors.Deps
	config     Config
	mail       *mailer
	accepted   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
}

// New makes the actor.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	mail, err := newMailer(c.SMTP)
	if err != nil {
		return nil, err
	}
	a := &Actor{Deps: d, config: c, mail: mail}
	a.accepted = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_accepted_total", Help: "Accepted notifications by category.",
	}, []string{"category"})
	a.deliveries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_deliveries_total", Help: "Delivery attempts by channel and result: delivered, failed, retried.",
	}, []string{"channel", "result"})
	d.Metrics.MustRegister(a.accepted, a.deliveries)
	return a, nil
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "notification",
		Bindings: []actors.Binding{
			actors.Bind(subjects.SendNotification, a.send),
			actors.Bind(subjects.GetNotification, a.get),
			actors.Bind(subjects.ListNotifications, a.list),
			actors.Bind(subjects.MarkAsRead, a.markAsRead),
			actors.Bind(subjects.MarkAllRead, a.markAllRead),
			actors.Bind(subjects.CancelNotification, a.cancel),
			actors.Bind(subjects.StreamNotifications, a.stream),
		},
		Workers: []actors.Worker{
			actors.Work(subjects.Deliver, a.deliver),
			actors.Listen(subjects.TellOfReauth, a.tellOfReauth),
			actors.Listen(subjects.TellOfRefusedRun, a.tellOfRefusedRun),
			actors.OnErasure(a.Deps, subjects.NotificationForgets, subjects.NotificationErased, a.forget),
		},
		Background: map[string]func(context.Context) error{"scheduled": a.startScheduled, "letters": a.sweepLetters},
	}
}
