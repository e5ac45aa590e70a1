package notification

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
)

// platformPhone is the platform of a phone number in notification_addresses_dropped_total.
const platformPhone = "phone"

// phones returns the number that SMS to a user go to: the verified one, unless a provider has reported that it takes none. It is empty if
// there is none.
func (a *Actor) phones(ctx context.Context, userID string) ([]channel.Address, error) {
	row, err := a.store.phone(ctx, userID, phoneVerified)
	if errors.Is(err, errNoPhone) || err == nil && row.SuppressedAt != 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	number, err := a.openPhone(row)
	if err != nil {
		return nil, err
	}
	return []channel.Address{{To: number}}, nil
}

// devicesOf returns the devices that push messages to a user go to. One that cannot be decrypted is logged and left out.
func (a *Actor) devicesOf(ctx context.Context, userID string) ([]channel.Address, error) {
	rows, err := a.store.devices(ctx, userID, "", 0)
	if err != nil {
		return nil, err
	}
	addresses := make([]channel.Address, 0, len(rows))
	for _, row := range rows {
		address, err := a.openDevice(row)
		if err != nil {
			a.Log.Error("decrypting a device", zap.String("device_id", row.ID), zap.Error(err))
			continue
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// dropAddress is called with an address that a provider has reported as no longer valid (channel.Suppressed). It deletes a device, unless
// it has registered with another token since, and marks a phone number as suppressed. It does nothing for an e-mail address.
func (a *Actor) dropAddress(ctx context.Context, userID, ch string, address channel.Address) error {
	platform, phone := address.Platform, ""
	switch ch {
	case channel.Push:
	case channel.SMS:
		var err error
		platform = platformPhone
		if phone, err = a.channels.keys.mac(ctx, "number", address.To); err != nil {
			return err
		}
	default:
		return nil
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		var dropped bool
		if platform == platformPhone {
			dropped, err = a.store.suppressPhone(ctx, tx, userID, phone, a.Now())
		} else {
			dropped, err = a.store.deleteDevice(ctx, tx, userID, address.DeviceID, tokenHash(platform, address.To))
		}
		if err != nil || !dropped {
			return err
		}
		a.DB.AfterCommit(ctx, func() {
			a.channels.dropped.WithLabelValues(platform).Inc()
			a.Log.Info("a provider has reported an address as no longer valid", zap.String("user_id", userID),
				zap.String("platform", platform), zap.String("device_id", address.DeviceID))
		})
		return a.publish(ctx, tx, userID, eventAddressDropped, addressDropped{Platform: platform, DeviceID: address.DeviceID})
	})
}

// eventAddressDropped is the event of a user's feed that says that an address was dropped.
const eventAddressDropped = "address_dropped"

// addressDropped is the data of eventAddressDropped.
type addressDropped struct {
	// Platform is fcm, apns, web or phone.
	Platform string `json:"platform"`
	DeviceID string `json:"device_id,omitempty"`
}
