package notification

import (
	"context"
	"errors"
	"net/url"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// registerDevice registers a device of the caller, or renews its registration. One of another user's becomes the caller's, with a new id.
func (a *Actor) registerDevice(ctx context.Context, r subjects.RegisterDeviceRequest) (subjects.Device, error) {
	none := subjects.Device{}
	if !a.channels.push.Serves(channel.Address{Platform: r.Platform}) {
		return none, subjects.Errorf(subjects.CodeUnsupported, "push messages to the platform %s are not configured", r.Platform)
	}
	address, err := addressOf(r)
	if err != nil {
		return none, err
	}
	if r.Platform == subjects.PlatformWeb {
		if err := a.checkEndpoint(ctx, address.To); err != nil {
			return none, err
		}
	}
	var row deviceRow
	register := func(ctx context.Context, tx database.Tx) (err error) {
		row, err = a.storeDevice(ctx, tx, r, address)
		return err
	}
	err = a.DB.RunInTx(ctx, register)
	if database.IsUnique(err) { // another call has registered the token since it was looked for
		err = a.DB.RunInTx(ctx, register)
	}
	if subjects.CodeOf(err) == subjects.CodeRateLimited {
		// The device is no more the other user's, though the caller may not have it either.
		return none, errors.Join(err, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return a.store.deleteOthersDevice(ctx, tx, actors.CallerFrom(ctx).UserID, tokenHash(r.Platform, address.To))
		}))
	}
	if err != nil {
		return none, err
	}
	return row.resource(), nil
}

// checkEndpoint checks the endpoint of a push subscription, as a later call checks it again.
func (a *Actor) checkEndpoint(ctx context.Context, endpoint string) error {
	const field = "subscription.endpoint"
	err := a.channels.client.Check(ctx, endpoint)
	switch {
	case err == nil:
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" && !a.EgressAllowHTTP {
			return subjects.InvalidField(field, "must be an https URL")
		}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case egress.KindOf(err) == egress.KindScheme:
		return subjects.InvalidField(field, "must be an https URL")
	case egress.KindOf(err) == egress.KindBlocked: // also if it cannot be resolved now: that would tell which names exist
		return subjects.InvalidField(field, "its host does not resolve to an allowed address")
	}
	return subjects.InvalidField(field, "is no URL that can be called")
}

func (a *Actor) storeDevice(ctx context.Context, tx database.Tx, r subjects.RegisterDeviceRequest, address deviceAddress) (deviceRow, error) {
	userID, now := actors.CallerFrom(ctx).UserID, a.Now().UnixMicro()
	row, err := a.store.deviceByToken(ctx, tx, tokenHash(r.Platform, address.To))
	if err != nil && !errors.Is(err, errNoDevice) {
		return row, err
	}
	if err == nil && row.UserID == userID {
		row.Name, row.RegisteredAt = r.Name, now
		if err := a.sealDevice(&row, address); err != nil {
			return row, err
		}
		return row, a.store.updateDevice(ctx, tx, &row)
	}
	if err == nil {
		if _, err := a.store.deleteDevice(ctx, tx, row.UserID, row.ID, ""); err != nil {
			return row, err
		}
	}
	if err := a.bounds.Reserve(ctx, tx, a.bounds.devices, userID, 1); err != nil {
		return row, err
	}
	row = deviceRow{
		ID: a.NewID(), UserID: userID, Platform: r.Platform, TokenHash: tokenHash(r.Platform, address.To), Name: r.Name, CreatedAt: now, RegisteredAt: now,
	}
	if err := a.sealDevice(&row, address); err != nil {
		return row, err
	}
	return row, a.store.insertDevice(ctx, tx, &row)
}

func (a *Actor) listDevices(ctx context.Context, r subjects.PageRequest) (subjects.Page[subjects.Device], error) {
	none := subjects.Page[subjects.Device]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := a.store.devices(ctx, actors.CallerFrom(ctx).UserID, after[0], r.PageLimit()+1)
	if err != nil {
		return none, err
	}
	items := make([]subjects.Device, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(d subjects.Device) []string { return []string{d.ID} }), nil
}

func (a *Actor) deleteDevice(ctx context.Context, r subjects.DeviceRequest) (subjects.Empty, error) {
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		found, err := a.store.deleteDevice(ctx, tx, actors.CallerFrom(ctx).UserID, r.DeviceID, "")
		if err == nil && !found {
			return errNoDevice
		}
		return err
	})
	return subjects.Empty{}, err
}

// getPushKey returns the public key that browsers subscribe with.
func (a *Actor) getPushKey(ctx context.Context, _ subjects.Empty) (subjects.PushKey, error) {
	if !a.channels.push.Serves(channel.Address{Platform: subjects.PlatformWeb}) {
		return subjects.PushKey{}, subjects.Errorf(subjects.CodeUnsupported, "push messages to browsers are not configured")
	}
	keys, err := a.channels.keys.vapid(ctx)
	return subjects.PushKey{PublicKey: keys.Public}, err
}
