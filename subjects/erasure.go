package subjects

// AccountDeletion asks every actor to erase a user's data.
type AccountDeletion struct {
	ErasureID string `json:"erasure_id"`
	UserID    string `json:"user_id"`
	// Round is 1 at the deletion, and 2 once everything that began before it has ended: data written in between is
	// erased in the second round.
	Round int `json:"round"`
	// Aliases are further ids under which the user's data may be stored.
	Aliases []string `json:"aliases,omitempty"`
}

// AccountDeleted is published when an account is deleted, and again until every actor has confirmed. Handlers must be
// idempotent; an actor confirms each event with its own Erased event.
var AccountDeleted = declareEvent(Event[AccountDeletion]{
	Subject: "weft.event.v1.auth.account_deleted",
	Doc:     "An account was deleted: every actor erases or pseudonymises the user's data and confirms it.",
})

// Erasure is an actor's confirmation of AccountDeleted: it has erased the user's data.
type Erasure struct {
	ErasureID string `json:"erasure_id"`
	Actor     string `json:"actor"`
	Round     int    `json:"round"`
	// Items counts the records that were deleted or pseudonymised.
	Items int64 `json:"items"`
}

// erased is the last token of the confirmations' subjects.
const erased = "account_erased"

// The actors' confirmations.
var (
	IntegrationErased  = declareErased("integration", "Connections, calls, hooks and objects of a deleted account are erased.")
	WorkflowErased     = declareErased("workflow", "Workflows, executions and histories of a deleted account are erased.")
	ConsentErased      = declareErased("consent", "Consents of a deleted account are revoked and pseudonymised.")
	NotificationErased = declareErased("notification", "Notifications of a deleted account are erased.")
)

func declareErased(actor, doc string) Event[Erasure] {
	return declareEvent(Event[Erasure]{Subject: eventPrefix + actor + "." + erased, Doc: doc})
}

// ErasingActors lists the actors that confirm AccountDeleted.
func ErasingActors() []string { return []string{"consent", "integration", "notification", "workflow"} }

// The durables of account erasure. One durable of auth receives the confirmations of all actors.
var (
	IntegrationErasure  = subscribeErasure("integration")
	WorkflowErasure     = subscribeErasure("workflow")
	ConsentErasure      = subscribeErasure("consent")
	NotificationErasure = subscribeErasure("notification")

	ErasureConfirmations = subscribe(Subscription[Erasure]{
		Event: ConsentErased, Owner: "auth", Name: "auth_" + erased, Filter: eventPrefix + "*." + erased,
	})
)

func subscribeErasure(actor string) Subscription[AccountDeletion] {
	return subscribe(Subscription[AccountDeletion]{Event: AccountDeleted, Owner: actor})
}
