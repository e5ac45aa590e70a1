package notification

import (
	"context"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// render returns the text of a notification for one channel.
func (a *Actor) render(_ context.Context, _ notificationRow, c content, _ string) (channel.Rendered, error) {
	return channel.Rendered{Subject: c.Subject, Text: c.Body}, nil
}
