package subjects

import "time"

// UserLimit is a limit that applies to each user.
type UserLimit struct {
	Name        string `json:"name" example:"workflow.max_schedules_per_user" doc:"The setting, or what is limited if it is none."`
	Description string `json:"description" example:"schedules" doc:"What is limited."`
	Unit        string `json:"unit" enum:"count,bytes"`
	Limit       int64  `json:"limit"`
	Used        *int64 `json:"used,omitempty" doc:"What the caller has; absent if it is not counted."`
	Period      int    `json:"period,omitempty" doc:"Seconds of the window in which a rate is counted; absent if the limit is not a rate."`
}

// UserLimits is a list of limits.
type UserLimits struct {
	Items []UserLimit `json:"items"`
}

// The limits of each actor. GET /v1/users/me/limits returns all of them.
var (
	GetAuthLimits = declareLimits("auth", "Lists the bounds of the caller's credentials with what the caller has.")

	GetIntegrationLimits = declareLimits("integration", "Lists the bounds of the caller's connections, webhooks and files with what the caller has.")

	GetWorkflowLimits = declareLimits("workflow", "Lists the bounds of the caller's workflows, schedules and executions with what the caller has.")

	GetConsentLimits = declareLimits("consent", "Lists the bounds of the caller's consents with what the caller has.")

	GetNotificationLimits = declareLimits("notification", "Lists the bounds of the caller's notifications with what the caller has.")
)

func declareLimits(actor, doc string) Endpoint[Empty, UserLimits] {
	return declare(Endpoint[Empty, UserLimits]{
		Subject: "weft.v1." + actor + ".get_limits", Access: User, Summary: "My limits", Doc: doc,
	})
}

// Limit is one rate limit of an endpoint, counted in fixed windows.
type Limit struct {
	// By is "ip" or "user".
	By string
	// Requests is how many are admitted in each window of length Period.
	Requests int
	Period   time.Duration
}

// PerIP limits each client network (see mesh.ClientNetwork).
func PerIP(requests int, period time.Duration) Limit { return Limit{"ip", requests, period} }

// PerUser limits each signed-in user.
func PerUser(requests int, period time.Duration) Limit { return Limit{"user", requests, period} }
