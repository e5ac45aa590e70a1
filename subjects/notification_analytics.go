package subjects

// NotificationAnalyticsRequest selects what to count.
type NotificationAnalyticsRequest struct {
	Since   string   `json:"since,omitempty" in:"query" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" doc:"The first day (UTC). Default: 29 days before until."`
	Until   string   `json:"until,omitempty" in:"query" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" doc:"The last day (UTC). Default: today. At most 366 days."`
	All     bool     `json:"all,omitempty" in:"query" doc:"Count the messages to all users. For admins."`
	GroupBy []string `json:"group_by,omitempty" in:"query" maxItems:"4" uniqueItems:"true" enum:"day,channel,category,template" doc:"Default: day, channel and category."`
}

// NotificationCounts are the messages of a day, channel, category and template, as far as they are grouped by these.
type NotificationCounts struct {
	Day        string `json:"day,omitempty" doc:"UTC, such as 2026-11-30."`
	Channel    string `json:"channel,omitempty"`
	Category   string `json:"category,omitempty"`
	Template   string `json:"template,omitempty"`
	Sent       int64  `json:"sent" doc:"Accepted by a provider, handed to webhooks, or put into the inbox."`
	Delivered  int64  `json:"delivered" doc:"Reported as delivered by the provider; in-app and by webhook, all that were sent."`
	Failed     int64  `json:"failed" doc:"Not accepted in the last attempt, or returned after it was accepted."`
	Suppressed int64  `json:"suppressed" doc:"Not sent: by a preference, for want of consent or of an address."`
	Opened     int64  `json:"opened" doc:"E-mails that were opened, of users who have switched tracking on."`
	Clicked    int64  `json:"clicked" doc:"E-mails in which a link was followed, of the same users."`
}

// NotificationAnalytics are counts of messages.
type NotificationAnalytics struct {
	Since string               `json:"since"`
	Until string               `json:"until"`
	Items []NotificationCounts `json:"items" doc:"The latest day first."`
}

// GetAnalytics counts messages.
var GetAnalytics = declare(Endpoint[NotificationAnalyticsRequest, NotificationAnalytics]{
	Subject: "weft.v1.notification.get_analytics", Route: "GET /v1/notifications/analytics", Access: User,
	Summary: "Count notifications",
	Doc: "Counts the caller's notifications by day, channel, category and template; for an admin, with all, those of all users. A batch counts as one " +
		"message. Counts are kept for 400 days. Those of all users do not change when an account is erased.",
})
