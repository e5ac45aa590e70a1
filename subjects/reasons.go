package subjects

// Reason identifies the cause of an error within its Code, for programs: it is stable, while Error.Detail is text for people.
// The set is open: a receiver must treat an unknown reason like an absent one.
type Reason string

// The reasons. Each occurs with one code.
const (
	// ReasonAlreadyExists: a resource with this id or name exists (CodeConflict).
	ReasonAlreadyExists Reason = "already_exists"
	// ReasonInProgress: a request with the same idempotency key is still being handled (CodeConflict).
	ReasonInProgress Reason = "in_progress"
	// ReasonScheduleInactive: the schedule that starts the execution was paused or deleted (CodeNotFound).
	ReasonScheduleInactive Reason = "schedule_inactive"
	// ReasonPartitionMoving: the partition of the execution has no owner at present (CodeUnavailable).
	ReasonPartitionMoving Reason = "partition_moving"
	// ReasonLogStalled: the partition's log cannot be appended to (CodeUnavailable).
	ReasonLogStalled Reason = "log_stalled"
	// ReasonOverloaded: the process has no capacity for more work (CodeUnavailable).
	ReasonOverloaded Reason = "overloaded"
	// ReasonNoResponders: no process serves the subject (CodeUnavailable).
	ReasonNoResponders Reason = "no_responders"
	// ReasonDisconnected: NATS cannot be reached (CodeUnavailable).
	ReasonDisconnected Reason = "disconnected"
	// ReasonNotStarted: a store that decides about a call cannot be reached, so that nothing was started; repeating the request is safe (CodeUnavailable).
	ReasonNotStarted Reason = "not_started"
	// ReasonAccountBlocked: the account that something was to be done for is disabled or deleted; nothing was done (CodeForbidden).
	ReasonAccountBlocked Reason = "account_blocked"
	// ReasonErasing: an earlier account with the same address is still being erased (CodeUnavailable).
	ReasonErasing Reason = "erasing"
	// ReasonUserQueueFull: the user's own queue of waiting executions is full (CodeRateLimited).
	ReasonUserQueueFull Reason = "user_queue_full"
	// ReasonLimitReached: the user has as much of something as one user may have; the detail names the setting (CodeRateLimited).
	ReasonLimitReached Reason = "limit_reached"
	// ReasonMemoryShare: the caller's own requests hold as much of the process's memory as one caller may (CodeRateLimited).
	ReasonMemoryShare Reason = "memory_share"
	// ReasonAncestorCancelled: an execution that led to the start was cancelled (CodeConflict).
	ReasonAncestorCancelled Reason = "ancestor_cancelled"
	// ReasonVersionMismatch: the resource has another version than the caller expects (CodeConflict).
	ReasonVersionMismatch Reason = "version_mismatch"
	// ReasonInUse: other resources use this one; the detail names one of them (CodeConflict).
	ReasonInUse Reason = "in_use"
	// ReasonRenewalRequired: a material change was published after the consent; the user must consent again (CodeConsentRequired).
	ReasonRenewalRequired Reason = "renewal_required"
	// ReasonGPC: the user's Global Privacy Control opts out of the scope (CodeConsentRequired).
	ReasonGPC Reason = "gpc"
	// ReasonGPCConflict: a consent contradicts the user's Global Privacy Control, and the user was not shown that (CodeConflict).
	ReasonGPCConflict Reason = "gpc_conflict"
	// ReasonConsentActive: a refusal would leave a consent in force; revoke it (CodeConflict).
	ReasonConsentActive Reason = "consent_active"
	// ReasonEdgeOutboxFull: the outbox of the edge node is full; nothing was kept (CodeUnavailable).
	ReasonEdgeOutboxFull Reason = "edge_outbox_full"
	// ReasonEdgeLeaseExpired: the edge node has had no contact with its hub for longer than its lease (CodeUnavailable).
	ReasonEdgeLeaseExpired Reason = "edge_lease_expired"
	// ReasonEdgeOffline: the edge node cannot reach its hub, and cannot answer by itself (CodeUnavailable).
	ReasonEdgeOffline Reason = "edge_offline"
	// ReasonEdgeNotEnrolled: the edge node is not enrolled for the user, the workflow or the connection (CodeForbidden).
	ReasonEdgeNotEnrolled Reason = "edge_not_enrolled"
)
