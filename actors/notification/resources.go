package notification

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// optionalTime converts microseconds since the Unix epoch; 0 is no time.
func optionalTime(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

// resource returns the notification as its recipient sees it.
func (n notificationRow) resource(c content, channels []deliveryRow) subjects.Notification {
	r := subjects.Notification{
		ID: n.ID, Category: n.Category, Subject: c.Subject, Body: c.Body, Data: c.data(), Status: statusOf(n, channels),
		CreatedAt: time.UnixMicro(n.CreatedAt).UTC(), SendAt: optionalTime(n.SendAt), ReadAt: optionalTime(n.ReadAt),
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
		NextAttemptAt: optionalTime(d.NextAttemptAt), BatchID: d.BatchID, Provider: d.Provider, ProviderMessageID: d.ProviderMessageID,
		TemplateVersion: d.TemplateVersion, Locale: d.Locale,
		AcceptedAt: optionalTime(d.AcceptedAt), UpdatedAt: time.UnixMicro(d.UpdatedAt).UTC(),
	}
}
