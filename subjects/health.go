package subjects

// Health is the reply of every actor's health_check.
type Health struct {
	Actor   string            `json:"actor"`
	Status  string            `json:"status" enum:"ok,degraded"`
	Version string            `json:"version"`
	Checks  map[string]string `json:"checks" doc:"Each check by name: ok, or what is wrong."`
}

// HealthChecks maps an actor's name to its health check.
var HealthChecks = declareHealth()

func declareHealth() map[string]Endpoint[Empty, Health] {
	checks := map[string]Endpoint[Empty, Health]{}
	for _, actor := range Actors() {
		checks[actor] = declare(Endpoint[Empty, Health]{
			Subject: endpointPrefix + actor + ".health_check", Access: Public,
			Summary: "Health of " + actor,
			Doc:     "Reports whether the actor commits to its database, reaches NATS and fetches its messages.",
		})
	}
	return checks
}
