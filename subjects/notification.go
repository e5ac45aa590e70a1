package subjects

import (
	"encoding/json"
	"time"
)

// SendNotificationRequest describes a notification, its recipient and its channels.
type SendNotificationRequest struct {
	UserID    string                     `json:"user_id,omitempty" format:"uuid" doc:"Another user than the caller is for services and admins, forbidden to others. Default: the caller."`
	Category  string                     `json:"category" enum:"system,workflow,integration,consent,security,marketing"`
	Channels  []string                   `json:"channels,omitempty" maxItems:"5" uniqueItems:"true" enum:"email,sms,push,in_app,webhook" doc:"Default in_app."`
	Template  string                     `json:"template,omitempty" maxLength:"64" doc:"A template, rendered with data in the recipient's language, instead of subject and body."`
	Locale    string                     `json:"locale,omitempty" maxLength:"35" pattern:"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$" doc:"A BCP 47 tag. Default: the recipient's."`
	Subject   string                     `json:"subject,omitempty" maxLength:"200"`
	Body      string                     `json:"body,omitempty" maxLength:"20000"`
	Data      map[string]json.RawMessage `json:"data,omitempty"`
	SendAt    *time.Time                 `json:"send_at,omitempty" doc:"Not before this time, at most a year ahead."`
	DedupeKey string                     `json:"dedupe_key,omitempty" maxLength:"200" doc:"Another notification of the user with the same key is a duplicate and is not sent."`
	Batch     *NotificationBatch         `json:"batch,omitempty" doc:"Collects the user's notifications of this category with the same key into one message for each channel."`
}

// NotificationBatch says how notifications with the same key are collected.
type NotificationBatch struct {
	Key      string `json:"key" minLength:"1" maxLength:"200"`
	Window   int    `json:"window" minimum:"1" maximum:"86400" doc:"Seconds without a further item after which the batch is sent."`
	MaxItems int    `json:"max_items,omitempty" minimum:"1" maximum:"100" doc:"The batch is sent with this many items. Default 100."`
	MaxWait  int    `json:"max_wait,omitempty" minimum:"1" maximum:"604800" doc:"Seconds after the first item when the batch is sent in any case, at least window. Default ten windows, at most a day."`
}

// NotificationRef names an accepted notification.
type NotificationRef struct {
	NotificationID string `json:"notification_id"`
	Status         string `json:"status" enum:"accepted,duplicate"`
}

// SendNotification accepts a notification for delivery.
var SendNotification = declare(Endpoint[SendNotificationRequest, NotificationRef]{
	Subject: "weft.v1.notification.send_notification", Route: "POST /v1/notifications", Status: 202,
	MaxMessage: 256 << 10,
	Access: Scope(ScopeNotificationsSend).
		Or(ServiceWithoutGrant("auth", "consent", "integration")).Or(Service("workflow")),
	Location: "/v1/notifications/{notification_id}",
	Summary:  "Send a notification",
	Doc: "Accepts a notification, which is delivered in the background; get_notification returns the outcome of each channel. The category " +
		"marketing requires the user's consent to notifications.marketing.",
})

// ChannelDelivery is the state of one channel of a notification.
type ChannelDelivery struct {
	Channel  string `json:"channel"`
	Status   string `json:"status" enum:"pending,deferred,batched,delivered,failed,suppressed,cancelled"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error,omitempty" doc:"Why the last attempt failed."`
	// Reason is stable, for programs; Detail is text for people. The set of reasons is open.
	Reason            string     `json:"reason,omitempty" doc:"Why it was suppressed, deferred, batched or failed, such as quiet_hours; docs/notifications.md lists the reasons."`
	Detail            string     `json:"detail,omitempty" doc:"The reason as a sentence."`
	NextAttemptAt     *time.Time `json:"next_attempt_at,omitempty" doc:"When it is tried next; of a batched one, when the batch is sent at the latest."`
	BatchID           string     `json:"batch_id,omitempty" doc:"The notification that carries, or will carry, this one in its batch."`
	Provider          string     `json:"provider,omitempty" doc:"The provider that accepted the message."`
	ProviderMessageID string     `json:"provider_message_id,omitempty"`
	AcceptedAt        *time.Time `json:"accepted_at,omitempty" doc:"When the provider accepted it; of several devices, for the first."`
	DevicesLeft       int        `json:"devices_left,omitempty" doc:"Number of devices that the next attempt goes to, where the others need none."`
	// TemplateVersion is 0 for a template that weft ships.
	TemplateVersion int       `json:"template_version,omitempty" doc:"The version of the template that was rendered; absent without a template, and for one that weft ships."`
	Locale          string    `json:"locale,omitempty" doc:"The language of the template that was rendered."`
	UpdatedAt       time.Time `json:"updated_at"`
}

// Notification is a notification as shown to its recipient.
type Notification struct {
	ID        string                     `json:"id"`
	Category  string                     `json:"category"`
	Template  string                     `json:"template,omitempty"`
	Subject   string                     `json:"subject,omitempty" doc:"With a template: as rendered for the inbox."`
	Body      string                     `json:"body,omitempty" doc:"With a template: as rendered for the inbox."`
	Data      map[string]json.RawMessage `json:"data,omitempty"`
	Status    string                     `json:"status" enum:"scheduled,pending,delivered,failed,suppressed,cancelled" doc:"Overall status: failed if a channel failed, otherwise pending if one still waits, delivered if one delivered, cancelled if one was cancelled, suppressed if all were."`
	Channels  []ChannelDelivery          `json:"channels"`
	CreatedAt time.Time                  `json:"created_at"`
	SendAt    *time.Time                 `json:"send_at,omitempty"`
	ReadAt    *time.Time                 `json:"read_at,omitempty"`
}

// NotificationRequest names a notification.
type NotificationRequest struct {
	NotificationID string `json:"notification_id" in:"path" format:"uuid"`
}

// GetNotification returns one of the caller's notifications.
var GetNotification = declare(Endpoint[NotificationRequest, Notification]{
	Subject: "weft.v1.notification.get_notification", Route: "GET /v1/notifications/{notification_id}", Access: User,
	Summary: "One notification", Doc: "Returns one of the caller's notifications with the state of each channel.",
})

// ListNotificationsRequest filters the list.
type ListNotificationsRequest struct {
	PageRequest
	Unread   bool   `json:"unread,omitempty" in:"query" doc:"Only unread notifications."`
	Category string `json:"category,omitempty" in:"query" enum:"system,workflow,integration,consent,security,marketing"`
	// ExecutionID selects notifications whose dedupe key begins with the execution's id.
	ExecutionID string `json:"execution_id,omitempty" in:"query" format:"uuid" doc:"Only notifications that this execution sent."`
}

// NotificationPage is a page of notifications with the number of unread ones.
type NotificationPage struct {
	Items       []Notification `json:"items"`
	NextCursor  string         `json:"next_cursor,omitempty"`
	UnreadCount int            `json:"unread_count"`
}

// ListNotifications lists the caller's in-app notifications.
var ListNotifications = declare(Endpoint[ListNotificationsRequest, NotificationPage]{
	Subject: "weft.v1.notification.list_notifications", Route: "GET /v1/notifications", Access: User,
	Summary: "My notifications", Doc: "Lists the caller's in-app notifications, newest first, with the number of unread ones.",
})

// UnreadCount is the number of unread in-app notifications.
type UnreadCount struct {
	UnreadCount int `json:"unread_count"`
}

// MarkAsRead marks one notification as read.
var MarkAsRead = declare(Endpoint[NotificationRequest, UnreadCount]{
	Subject: "weft.v1.notification.mark_as_read", Route: "POST /v1/notifications/{notification_id}/read", Access: User,
	Summary: "Mark as read", Doc: "Marks a notification as read and returns how many are still unread. Repeating it has no effect.",
})

// MarkAllRead marks all of the caller's notifications as read.
var MarkAllRead = declare(Endpoint[Empty, UnreadCount]{
	Subject: "weft.v1.notification.mark_all_read", Route: "POST /v1/notifications/read", Access: User,
	Summary: "Mark all as read", Doc: "Marks all of the caller's notifications as read.",
})

// CancelNotification cancels a scheduled notification.
var CancelNotification = declare(Endpoint[NotificationRequest, Notification]{
	Subject: "weft.v1.notification.cancel_notification", Route: "POST /v1/notifications/{notification_id}/cancel", Access: User,
	Summary: "Cancel a notification",
	Doc: "Cancels the channels of a notification that still wait: for its send_at, for the end of quiet hours, for a place in the rate or for " +
		"their batch. conflict if none does.",
})

// CancelByKeyRequest names a notification by the dedupe key that it was sent with.
type CancelByKeyRequest struct {
	UserID    string `json:"user_id,omitempty" format:"uuid" doc:"The recipient. Another user than the caller is for admins, forbidden to others."`
	DedupeKey string `json:"dedupe_key" minLength:"1" maxLength:"200"`
}

// CancelledNotification names the channels over which a notification will not be sent.
type CancelledNotification struct {
	NotificationID string   `json:"notification_id"`
	Channels       []string `json:"channels" doc:"The channels that are cancelled, also by an earlier call."`
}

// CancelByKey cancels a notification by its dedupe key.
var CancelByKey = declare(Endpoint[CancelByKeyRequest, CancelledNotification]{
	Subject: "weft.v1.notification.cancel_by_key", Route: "POST /v1/notifications/cancel", Access: Scope(ScopeNotificationsSend),
	Summary: "Cancel a notification by its key",
	Doc: "Cancels the channels of a notification that still wait, as cancel_notification does, by the dedupe_key that it was sent with. " +
		"conflict if none does, not_found if the recipient has no notification with the key.",
})

// StreamNotifications streams the caller's notifications.
var StreamNotifications = declare(Endpoint[Empty, StreamPointer]{
	Subject: "weft.v1.notification.stream", Route: "GET /v1/notifications/stream", Access: User, Stream: true,
	Summary: "My notifications, live",
	Doc: "Server-sent events: `unread_count` first and after each change, `notification` for each new notification. Each has the member " +
		"unread_count. Last-Event-ID resumes the stream for up to seven days.",
})

// FeedNotification is the data of the feed's event notification.
type FeedNotification struct {
	Notification
	UnreadCount int `json:"unread_count"`
}

// NotifyReauth subscribes the notification actor to connections that need a new authorization.
var NotifyReauth = subscribe(Subscription[ConnectionChange]{Event: IntegrationNeedsReauth, Owner: "notification"})

// DeliverNotification names one channel of a notification.
type DeliverNotification struct {
	NotificationID string `json:"notification_id"`
	UserID         string `json:"user_id"`
	Channel        string `json:"channel"`
}

// Deliver is the job of delivering a notification over one channel.
var Deliver = declareJob(Job[DeliverNotification]{
	Subject: "weft.job.v1.notification.deliver", Stream: NotificationJobs, AckWait: 45 * time.Second, MaxDeliver: 6,
	Backoff: []time.Duration{2 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute},
	Doc:     "Delivers a notification over one channel; deduplicated by the notification's id and channel.",
})
