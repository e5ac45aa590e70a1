package notification

import (
	"context"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// Phones, Devices, Drop and Push give tests what the pipeline uses.
func (a *Actor) Phones(ctx context.Context, userID string) ([]channel.Address, error) {
	return a.phones(ctx, userID)
}

func (a *Actor) Devices(ctx context.Context, userID string) ([]channel.Address, error) {
	return a.devicesOf(ctx, userID)
}

func (a *Actor) Drop(ctx context.Context, userID, ch string, address channel.Address) error {
	return a.dropAddress(ctx, userID, ch, address)
}

func (a *Actor) Push(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	return a.channels.push.Send(ctx, m)
}
