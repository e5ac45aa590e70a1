package notification

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
)

// Connect gives an actor the provider of a channel and the addresses of its recipients.
func (a *Actor) Connect(ch string, provider channel.Provider, addresses func(ctx context.Context, userID string) ([]channel.Address, error)) {
	a.seams.providers[ch] = provider
	switch ch {
	case channel.SMS:
		a.seams.phones = addresses
	case channel.Push:
		a.seams.devices = addresses
	}
}

// OnDropped gives an actor what is called with the addresses that a provider no longer accepts.
func (a *Actor) OnDropped(drop func(ctx context.Context, userID, ch string, address channel.Address) error) {
	a.seams.dropAddress = drop
}

// ToWebhooks gives an actor what takes notifications for webhooks.
func (a *Actor) ToWebhooks(take func(userID, id, subject string) (func(context.Context, database.Tx) error, error)) {
	a.seams.toWebhooks = func(_ context.Context, n notificationRow, _ content, r channel.Rendered) (func(context.Context, database.Tx) error, error) {
		return take(n.UserID, n.ID, r.Subject)
	}
}

// Prune deletes surplus notifications at once.
func (a *Actor) Prune(ctx context.Context) error { return a.prune(ctx) }
