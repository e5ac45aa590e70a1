package subjects

import "time"

// Platforms of devices.
const (
	PlatformFCM  = "fcm"
	PlatformAPNs = "apns"
	PlatformWeb  = "web"
)

// WebPushKeys are the keys of a browser's push subscription.
type WebPushKeys struct {
	P256dh string `json:"p256dh" minLength:"86" maxLength:"90" doc:"The browser's public key: an uncompressed point of P-256 in base64url (RFC 8291 §3.1)."`
	Auth   string `json:"auth" minLength:"22" maxLength:"24" doc:"The authentication secret: 16 bytes in base64url (RFC 8291 §3.2)."`
}

// WebPushSubscription is what a browser's PushSubscription.toJSON() returns.
type WebPushSubscription struct {
	Endpoint       string      `json:"endpoint" minLength:"1" maxLength:"2048" doc:"An https URL of a push service."`
	ExpirationTime *float64    `json:"expirationTime,omitempty" doc:"Ignored: a subscription that has ended is deleted when the push service says so."`
	Keys           WebPushKeys `json:"keys"`
}

// RegisterDeviceRequest describes a device that gets push messages.
type RegisterDeviceRequest struct {
	Platform     string               `json:"platform" enum:"fcm,apns,web"`
	Token        string               `json:"token,omitempty" maxLength:"4096" doc:"The registration token of FCM, or the device token of APNs in hexadecimal digits."`
	Subscription *WebPushSubscription `json:"subscription,omitempty" doc:"The push subscription of a browser; for the platform web."`
	Name         string               `json:"name,omitempty" maxLength:"64" doc:"A name to tell devices apart, such as a model or browser."`
}

// Device is a device that gets the push messages of its user. Its token is never shown.
type Device struct {
	ID           string    `json:"id"`
	Platform     string    `json:"platform" enum:"fcm,apns,web"`
	Name         string    `json:"name,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	RegisteredAt time.Time `json:"registered_at" doc:"When it was last registered."`
}

// RegisterDevice registers a device of the caller.
var RegisterDevice = declare(Endpoint[RegisterDeviceRequest, Device]{
	Subject: "weft.v1.notification.register_device", Route: "POST /v1/devices", Status: 201, Access: User,
	Location: "/v1/devices/{id}", Limits: []Limit{PerUser(60, time.Minute)},
	Summary: "Register a device for push messages",
	Doc: "Registers a device of the caller, to which notifications of the channel push are sent. Registering a device again keeps its id; apps " +
		"do so at every start. A device has one user: one that another user had registered is theirs no more. Errors: unsupported if the platform " +
		"is not configured; rate_limited if the user has the maximum number of devices.",
})

// ListDevices lists the caller's devices.
var ListDevices = declare(Endpoint[PageRequest, Page[Device]]{
	Subject: "weft.v1.notification.list_devices", Route: "GET /v1/devices", Access: User,
	Summary: "My devices", Doc: "Lists the caller's devices that get push messages, in the order of their registration.",
})

// DeviceRequest names a device.
type DeviceRequest struct {
	DeviceID string `json:"device_id" in:"path" format:"uuid"`
}

// DeleteDevice deletes one of the caller's devices.
var DeleteDevice = declare(Endpoint[DeviceRequest, Empty]{
	Subject: "weft.v1.notification.delete_device", Route: "DELETE /v1/devices/{device_id}", Access: User,
	Summary: "Delete a device", Doc: "Deletes one of the caller's devices, which gets no more push messages. Apps do so when the user signs out.",
})

// PushKey is what a browser needs to subscribe.
type PushKey struct {
	PublicKey string `json:"public_key" doc:"The applicationServerKey of pushManager.subscribe: an uncompressed point of P-256 in base64url (RFC 8292 §3.2)."`
}

// GetPushKey returns the public key that browsers subscribe with.
var GetPushKey = declare(Endpoint[Empty, PushKey]{
	Subject: "weft.v1.notification.get_push_key", Route: "GET /v1/devices/push-key", Access: User,
	Summary: "The key for browsers' push subscriptions",
	Doc: "Returns the public VAPID key, with which a browser subscribes to push messages. It does not change. Error: unsupported if web push is " +
		"not configured.",
})
