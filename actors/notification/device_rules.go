package notification

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

func devicesBound(c DevicesConfig) *quota.Bound {
	return &quota.Bound{
		Name: "notification.devices.max_per_user", What: "devices", Unit: quota.Count, Limit: int64(c.MaxPerUser), Used: countDevices,
	}
}

// deviceAddress is the confidential part of a device.
type deviceAddress struct {
	// To is the token, or the endpoint of a subscription, which has Keys.
	To   string            `json:"to"`
	Keys map[string]string `json:"keys,omitempty"`
}

// deviceContext binds a sealed address to its device and user.
func deviceContext(id, userID string) []byte { return []byte("device|" + id + "|" + userID) }

var (
	fcmToken  = regexp.MustCompile(`^[A-Za-z0-9:_-]{16,}$`)
	apnsToken = regexp.MustCompile(`^[0-9a-f]{64,200}$`)
)

// addressOf checks a registration and returns the address that it has.
func addressOf(r subjects.RegisterDeviceRequest) (deviceAddress, error) {
	if r.Platform == subjects.PlatformWeb {
		return subscriptionOf(r)
	}
	token := r.Token
	switch {
	case r.Subscription != nil:
		return deviceAddress{}, subjects.InvalidField("subscription", "is for the platform web")
	case token == "":
		return deviceAddress{}, subjects.InvalidField("token", "is required")
	case r.Platform == subjects.PlatformAPNs:
		if token = strings.ToLower(token); !apnsToken.MatchString(token) || len(token)%2 != 0 {
			return deviceAddress{}, subjects.InvalidField("token", "is no device token of APNs: 64 to 200 hexadecimal digits")
		}
	case !fcmToken.MatchString(token):
		return deviceAddress{}, subjects.InvalidField("token", "is no registration token of FCM")
	}
	return deviceAddress{To: token}, nil
}

func subscriptionOf(r subjects.RegisterDeviceRequest) (deviceAddress, error) {
	switch {
	case r.Token != "":
		return deviceAddress{}, subjects.InvalidField("token", "is not for the platform web, which has a subscription")
	case r.Subscription == nil:
		return deviceAddress{}, subjects.InvalidField("subscription", "is required")
	}
	keys := r.Subscription.Keys
	if field, problem := providers.CheckSubscription(keys.P256dh, keys.Auth); problem != "" {
		return deviceAddress{}, subjects.InvalidField("subscription.keys."+field, "%s", problem)
	}
	return deviceAddress{
		To: r.Subscription.Endpoint, Keys: map[string]string{"p256dh": strings.TrimRight(keys.P256dh, "="), "auth": strings.TrimRight(keys.Auth, "=")},
	}, nil
}

// tokenHash identifies a device. Tokens and endpoints are random: a plain hash does not reveal them.
func tokenHash(platform, to string) string {
	sum := sha256.Sum256([]byte(platform + "\n" + to))
	return hex.EncodeToString(sum[:])
}

func (a *Actor) sealDevice(row *deviceRow, address deviceAddress) error {
	plain, err := json.Marshal(address)
	if err != nil {
		return fmt.Errorf("encoding a device's address: %w", err)
	}
	sealed, err := a.Sealer.Seal(plain, deviceContext(row.ID, row.UserID))
	row.Address = base64.StdEncoding.EncodeToString(sealed)
	return err
}

// openDevice returns the address of a device, as a provider gets it.
func (a *Actor) openDevice(row deviceRow) (channel.Address, error) {
	none := channel.Address{}
	sealed, err := base64.StdEncoding.DecodeString(row.Address)
	if err != nil {
		return none, fmt.Errorf("reading a device: %w", err)
	}
	plain, err := a.Sealer.Open(sealed, deviceContext(row.ID, row.UserID))
	if err != nil {
		return none, fmt.Errorf("reading a device: %w", err)
	}
	var address deviceAddress
	if err := json.Unmarshal(plain, &address); err != nil {
		return none, fmt.Errorf("reading a device: %w", err)
	}
	return channel.Address{To: address.To, Keys: address.Keys, Platform: row.Platform, DeviceID: row.ID}, nil
}

func (d deviceRow) resource() subjects.Device {
	return subjects.Device{
		ID: d.ID, Platform: d.Platform, Name: d.Name, CreatedAt: time.UnixMicro(d.CreatedAt).UTC(), RegisteredAt: time.UnixMicro(d.RegisteredAt).UTC(),
	}
}
