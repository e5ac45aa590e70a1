package main

import "fmt"

var boards = []board{
	{"overview", "weft: overview", "Requests, errors, saturation and the work of all actors.", []row{
		{"Objectives", []panel{
			{"Errors", "Ratio of requests and messages that failed with internal, unavailable or timeout. The objective is 0.1 %.", "percentunit",
				[]query{{"weft:error_ratio:rate5m", "5 minutes"}, {"weft:error_ratio:rate1h", "1 hour"}}},
			{"Slow requests", "Ratio of requests that took more than a second. The objective is 1 %.", "percentunit",
				[]query{{"weft:slow_ratio:rate5m", "{{actor}}"}}},
			{"Processes", "Processes that Prometheus reaches.", "short", []query{{`sum by (job) (up{job=~"weft.*"})`, "{{job}}"}}},
		}},
		{"Requests", []panel{
			{"Requests by actor", "", "reqps", []query{{"sum by (actor) (rate(weft_requests_total[$__rate_interval]))", "{{actor}}"}}},
			{"Errors by code", "Requests that did not succeed.", "reqps", []query{{`sum by (code) (rate(weft_requests_total{code!="ok"}[$__rate_interval]))`, "{{code}}"}}},
			{"Duration, p99", "From a request's arrival at the actor to the answer.", "s",
				[]query{{"histogram_quantile(0.99, sum by (actor, le) (rate(weft_request_duration_seconds_bucket[$__rate_interval])))", "{{actor}}"}}},
		}},
		{"Work", []panel{
			{"Executions that ended", "", "ops", []query{{"sum by (status) (rate(workflow_executions_total[$__rate_interval]))", "{{status}}"}}},
			{"Calls to providers", "", "ops", []query{{"sum by (result) (rate(integration_calls_total[$__rate_interval]))", "{{result}}"}}},
			{"Notifications", "Delivery attempts.", "ops", []query{{"sum by (channel, result) (rate(notification_deliveries_total[$__rate_interval]))", "{{channel}} {{result}}"}}},
		}},
		{"Saturation", []panel{
			{"Deferred messages", "Messages that are tried again later.", "short", []query{{"sum by (actor) (weft_messages_deferred)", "{{actor}}"}}},
			{"Messages behind", "Messages that a durable has not delivered yet.", "short", []query{{"max by (durable) (weft_durable_pending_messages)", "{{durable}}"}}},
			{"Transactions that wait", "For a connection to write on.", "short", []query{{"sum by (db_name) (weft_transactions_waiting)", "{{db_name}}"}}},
			{"Memory", "", "bytes", []query{{`process_resident_memory_bytes{job=~"weft.*"}`, "{{instance}}"}}},
			{"Processor", "Seconds of processor time a second.", "short", []query{{`rate(process_cpu_seconds_total{job=~"weft.*"}[$__rate_interval])`, "{{instance}}"}}},
			{"Goroutines", "", "short", []query{{`go_goroutines{job=~"weft.*"}`, "{{instance}}"}}},
		}},
	}},
	{"gateway", "weft: gateway", "HTTP connections, streams and the gateway's limits.", []row{
		{"HTTP", []panel{
			{"Open connections", "", "short", []query{{"weft_gateway_connections", "{{instance}}"}}},
			{"Open streams, uploads and downloads", "", "short", []query{{"weft_gateway_streams", "{{instance}}"}}},
			{"Circuit breakers", "0 closed, 1 half open, 2 open.", "short", []query{{"max by (actor) (weft_gateway_breaker_state)", "{{actor}}"}}},
		}},
		{"Answers", []panel{
			{"Answers by code", "", "reqps", []query{{"sum by (code) (rate(weft_requests_total[$__rate_interval]))", "{{code}}"}}},
			{"Busiest endpoints", "", "reqps", []query{{"topk(10, sum by (actor, endpoint) (rate(weft_requests_total[$__rate_interval])))", "{{actor}}.{{endpoint}}"}}},
			{"Slowest endpoints, p99", "", "s", []query{{"topk(10, histogram_quantile(0.99, sum by (actor, endpoint, le) (rate(weft_request_duration_seconds_bucket[$__rate_interval]))))", "{{actor}}.{{endpoint}}"}}},
			{"Refused by a bound of a user", "", "reqps", []query{{"sum by (bound) (rate(weft_limit_refusals_total[$__rate_interval]))", "{{bound}}"}}},
		}},
	}},
	{"auth", "weft: auth", "Accounts, sign-ins and sessions.", append([]row{
		{"Sign-ins", []panel{
			{"Sign-ins", "", "ops", []query{{"sum by (result) (rate(auth_logins_total[$__rate_interval]))", "{{result}}"}}},
			{"Active sessions", "", "short", []query{{"max(auth_active_sessions)", "sessions"}}},
			{"Registrations", "", "ops", []query{{"sum(rate(auth_registrations_total[$__rate_interval]))", "registrations"}}},
			{"Password hashes", "Each takes a processor for a tenth of a second or more.", "ops", []query{{"sum(rate(auth_password_hashes_total[$__rate_interval]))", "hashes"}}},
			{"Deletions and takeovers of accounts", "", "ops", []query{
				{"sum(rate(auth_account_deletions_total[$__rate_interval]))", "deletions"}, {"sum(rate(auth_account_takeovers_total[$__rate_interval]))", "takeovers"}}},
		}},
	}, actorRows("auth")...)},
	{"integration", "weft: integration", "Connections and calls to providers.", append([]row{
		{"Providers", []panel{
			{"Calls by provider", "", "ops", []query{{"sum by (provider) (rate(integration_calls_total[$__rate_interval]))", "{{provider}}"}}},
			{"Calls by result", "", "ops", []query{{"sum by (result) (rate(integration_calls_total[$__rate_interval]))", "{{result}}"}}},
			{"Duration of calls, p95", "", "s", []query{{"histogram_quantile(0.95, sum by (provider, le) (rate(integration_call_duration_seconds_bucket[$__rate_interval])))", "{{provider}}"}}},
			{"Open circuit breakers", "2: calls to the provider fail at once.", "short", []query{{"max by (provider) (integration_breaker_state)", "{{provider}}"}}},
			{"Storage of files", "", "bytes", []query{{"max(integration_object_bytes)", "used"}, {"max(integration_object_bytes_limit)", "limit"}}},
		}},
	}, actorRows("integration")...)},
	{"workflow", "weft: workflow", "Executions, partitions, the log and its projection.", append([]row{
		{"Executions", []panel{
			{"Ended", "", "ops", []query{{"sum by (status) (rate(workflow_executions_total[$__rate_interval]))", "{{status}}"}}},
			{"Active, blocked, queued", "", "short", []query{
				{"sum(workflow_active_executions)", "active"}, {"sum(workflow_blocked_executions)", "blocked by their workflow's limits"}, {"sum(workflow_queued_executions)", "wait for a slot"}}},
			{"Duration, p50 and p99", "From the start to the end.", "s", []query{
				{"histogram_quantile(0.5, sum by (le) (rate(workflow_execution_duration_seconds_bucket[$__rate_interval])))", "p50"},
				{"histogram_quantile(0.99, sum by (le) (rate(workflow_execution_duration_seconds_bucket[$__rate_interval])))", "p99"}}},
			{"Steps", "", "ops", []query{{"sum by (result) (rate(workflow_steps_total[$__rate_interval]))", "{{result}}"}}},
			{"Duration of steps, p99", "", "s", []query{{"histogram_quantile(0.99, sum by (le) (rate(workflow_step_duration_seconds_bucket[$__rate_interval])))", "p99"}}},
			{"Lateness of timers, p99", "", "s", []query{{"histogram_quantile(0.99, sum by (le) (rate(workflow_timer_delay_seconds_bucket[$__rate_interval])))", "p99"}}},
			{"Refused starts", "", "ops", []query{{"sum by (bound) (rate(workflow_refused_starts_total[$__rate_interval]))", "{{bound}}"}}},
			{"Quarantined", "", "short", []query{{"sum(increase(workflow_quarantined_executions_total[1h]))", "in an hour"}}},
		}},
		{"Engine", []panel{
			{"Partitions", "Eight in all.", "short", []query{{"workflow_partitions", "{{instance}}"}}},
			{"Appends to the logs", "", "ops", []query{{"sum(rate(workflow_log_appends_total[$__rate_interval]))", "appends"}}},
			{"Not projected yet", "Events that the logs have and SQL does not.", "bytes", []query{{"workflow_unprojected_bytes", "{{instance}}"}}},
			{"Duration of projections, p99", "", "s", []query{{"histogram_quantile(0.99, sum by (le) (rate(workflow_projection_duration_seconds_bucket[$__rate_interval])))", "p99"}}},
			{"Lock of a partition held, p99", "", "s", []query{{"histogram_quantile(0.99, sum by (le) (rate(workflow_partition_lock_held_seconds_bucket[$__rate_interval])))", "p99"}}},
			{"Evaluator pool", "", "short", []query{{"sum(workflow_queued_evaluations)", "wait"}}},
			{"Data of large executions", "", "bytes", []query{{"workflow_held_bytes", "{{instance}}"}}},
			{"Steps that wait for a slot", "", "short", []query{{"sum(workflow_queued_steps)", "steps"}}},
		}},
	}, actorRows("workflow")...)},
	{"consent", "weft: consent", "Consents, the ledger and privacy requests.", append([]row{
		{"Consents", []panel{
			{"Changes", "", "ops", []query{{"sum by (change) (rate(consent_changes_total[$__rate_interval]))", "{{change}}"}}},
			{"Entries of the ledger", "", "short", []query{{"max(consent_ledger_entries)", "entries"}, {"max(consent_ledger_missing_entries)", "missing"}}},
			{"Privacy requests that are overdue", "", "short", []query{{"max(consent_privacy_overdue)", "overdue"}}},
			{"Notices served", "", "ops", []query{{"sum(rate(consent_notices_served_total[$__rate_interval]))", "notices"}}},
			{"Failed exports", "", "ops", []query{{"sum(rate(consent_privacy_failures_total[$__rate_interval]))", "failures"}}},
		}},
	}, actorRows("consent")...)},
	{"notification", "weft: notification", "Channels, e-mail and webhooks.", append([]row{
		{"Notifications", []panel{
			{"Accepted", "", "ops", []query{{"sum by (category) (rate(notification_accepted_total[$__rate_interval]))", "{{category}}"}}},
			{"Delivery attempts", "", "ops", []query{{"sum by (channel, result) (rate(notification_deliveries_total[$__rate_interval]))", "{{channel}} {{result}}"}}},
			{"Renderings", "", "ops", []query{{"sum by (channel, result) (rate(notification_renderings_total[$__rate_interval]))", "{{channel}} {{result}}"}}},
		}},
		{"Webhooks", []panel{
			{"Pending deliveries", "", "short", []query{{"max(notification_webhook_deliveries_pending)", "pending"}}},
			{"The oldest due delivery", "", "s", []query{{"max(notification_webhook_oldest_due_seconds)", "due for"}}},
			{"Attempts in flight", "", "short", []query{{"sum(notification_webhook_attempts_in_flight)", "attempts"}}},
			{"Duration of attempts, p95", "", "s", []query{{"histogram_quantile(0.95, sum by (le) (rate(notification_webhook_attempt_duration_seconds_bucket[$__rate_interval])))", "p95"}}},
			{"Throttled attempts", "", "ops", []query{{"sum(rate(notification_webhook_throttled_total[$__rate_interval]))", "throttled"}}},
		}},
	}, actorRows("notification")...)},
	{"messages", "weft: messages", "Durables of JetStream: jobs and events between the actors.", []row{
		{"Durables", []panel{
			{"Not delivered yet", "", "short", []query{{"max by (durable) (weft_durable_pending_messages)", "{{durable}}"}}},
			{"Delivered, not acknowledged", "", "short", []query{{"max by (durable) (weft_durable_unacknowledged_messages)", "{{durable}}"}}},
			{"Deferred", "", "short", []query{{"sum by (actor) (weft_messages_deferred)", "{{actor}}"}}},
		}},
	}},
}

// actorRows are the rows that each actor's dashboard ends with.
func actorRows(actor string) []row {
	of := func(format string) string { return fmt.Sprintf(format, actor) }
	return []row{
		{"Endpoints", []panel{
			{"Requests", "", "reqps", []query{{of(`sum by (endpoint) (rate(weft_requests_total{actor=%q}[$__rate_interval]))`), "{{endpoint}}"}}},
			{"Requests by code", "", "reqps", []query{{of(`sum by (code) (rate(weft_requests_total{actor=%q}[$__rate_interval]))`), "{{code}}"}}},
			{"Duration, p99", "", "s", []query{{of(`histogram_quantile(0.99, sum by (endpoint, le) (rate(weft_request_duration_seconds_bucket{actor=%q}[$__rate_interval])))`), "{{endpoint}}"}}},
		}},
		{"Database", []panel{
			{"Statements", "", "ops", []query{{of(`sum(rate(weft_statements_total{db_name=%q}[$__rate_interval]))`), "statements"}}},
			{"Transactions that write", "", "ops", []query{{of(`sum(rate(weft_transactions_total{db_name=%q}[$__rate_interval]))`), "transactions"}}},
			{"Transactions that wait", "", "short", []query{{of(`sum(weft_transactions_waiting{db_name=%q})`), "transactions"}}},
		}},
	}
}
