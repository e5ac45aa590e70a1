package notification

import (
	"context"
	"fmt"
	"strings"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
)

// seams are what other parts of the actor give to the pipeline. A function that is nil is a channel without addresses.
type seams struct {
	// render returns the text of a notification for one channel.
	render func(ctx context.Context, n notificationRow, c content, ch string) (channel.Rendered, error)
	// providers has the provider of each channel.
	providers map[string]channel.Provider
	// phones and devices return a user's addresses for SMS and push.
	phones, devices func(ctx context.Context, userID string) ([]channel.Address, error)
	// dropAddress forgets an address that a provider no longer accepts.
	dropAddress func(ctx context.Context, userID, ch string, address channel.Address) error
	// toWebhooks returns what hands a notification over to the webhooks of its user, in the transaction that records its delivery; nil where
	// the user has none for it.
	toWebhooks func(ctx context.Context, n notificationRow, c content, r channel.Rendered) (func(context.Context, database.Tx) error, error)
}

// render returns the text of a notification for one channel. That of a batch lists its items.
func (a *Actor) render(_ context.Context, _ notificationRow, c content, _ string) (channel.Rendered, error) {
	switch len(c.Items) {
	case 0:
		return channel.Rendered{Subject: c.Subject, Text: c.Body, Locale: c.Locale}, nil
	case 1:
		return channel.Rendered{Subject: c.Items[0].Subject, Text: c.Items[0].Body, Locale: c.Locale}, nil
	}
	parts := make([]string, len(c.Items))
	for i, item := range c.Items {
		parts[i] = strings.TrimSpace(item.Subject + "\n" + item.Body)
	}
	return channel.Rendered{
		Subject: fmt.Sprintf("%d notifications", len(c.Items)), Text: strings.Join(parts, "\n\n"), Locale: c.Locale,
	}, nil
}
