package notification

import (
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// resource returns the notification as its recipient sees it.
func (n notificationRow) resource(c content, channels []deliveryRow) subjects.Notification {
	r := subjects.Notification{
		ID: n.ID, Category: n.Category, Subject: c.Subject, Body: c.Body, Data: c.data(), Status: statusOf(n, channels),
		CreatedAt: time.UnixMicro(n.CreatedAt).UTC(), SendAt: actors.OptionalTime(n.SendAt), ReadAt: actors.OptionalTime(n.ReadAt),
		Channels: []subjects.ChannelDelivery{}, Template: c.Template,
	}
	for _, d := range channels {
		r.Channels = append(r.Channels, d.resource())
	}
	return r
}

// resource returns the state of one channel.
func (d deliveryRow) resource() subjects.ChannelDelivery {
	return subjects.ChannelDelivery{
		Channel: d.Channel, Status: d.Status, Attempts: d.Attempts, Error: d.Error, Reason: string(d.Reason), Detail: sentences[d.Reason],
		NextAttemptAt: actors.OptionalTime(d.NextAttemptAt), BatchID: d.BatchID, Provider: d.Provider, ProviderMessageID: d.ProviderMessageID,
		DevicesLeft: len(strings.Fields(d.Devices)), TemplateVersion: d.TemplateVersion, Locale: d.Locale,
		AcceptedAt: actors.OptionalTime(d.AcceptedAt), UpdatedAt: time.UnixMicro(d.UpdatedAt).UTC(),
	}
}
