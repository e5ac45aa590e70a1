// Package webhooks delivers the events of users to webhooks that they have registered: which events there are, who takes them, when a webhook is
// warned of and disabled. Package dispatch makes the attempts.
//
// It owns the tables webhooks, webhook_groups, webhook_health and webhook_usage, and the bucket notification_limits. It imports nothing of
// package notification, which gives it what it needs of the actor (Connect).
package webhooks
