package subjects

// AccountDeletion tells every actor to forget a user.
type AccountDeletion struct {
	ErasureID string `json:"erasure_id"`
	UserID    string `json:"user_id"`
	// Round is 1 at the deletion, and 2 once nothing that had begun before it can still be under way: what it may have
	// left is forgotten then.
	Round int `json:"round"`
	// Aliases are further ids under which the user was written to.
	Aliases []string `json:"aliases,omitempty"`
}

// AccountDeleted is told when an account is deleted, and again until every actor has answered. What an actor does about it
// may be done any number of times; it answers each with its Erased event.
var AccountDeleted = declareEvent(Event[AccountDeletion]{
	Subject: "weft.event.v1.auth.account_deleted",
	Doc:     "An account was deleted: every actor erases or pseudonymises what it holds of the user, and answers.",
})

// Erasure is an actor's answer to AccountDeleted: it holds nothing of the user any more.
type Erasure struct {
	ErasureID string `json:"erasure_id"`
	Actor     string `json:"actor"`
	Round     int    `json:"round"`
	// Items is how many records went, or lost what tied them to the user.
	Items int64 `json:"items"`
}

// erased is the last token of the answers' subjects.
const erased = "account_erased"

// The actors' answers.
var (
	IntegrationErased  = declareErased("integration", "Connections, calls and what else belonged to a deleted account are gone.")
	WorkflowErased     = declareErased("workflow", "Workflows, executions and histories of a deleted account are gone.")
	ConsentErased      = declareErased("consent", "Consents of a deleted account are revoked and tell nobody whose they were.")
	NotificationErased = declareErased("notification", "Notifications of a deleted account are gone.")
)

func declareErased(actor, doc string) Event[Erasure] {
	return declareEvent(Event[Erasure]{Subject: eventPrefix + actor + "." + erased, Doc: doc})
}

// ErasingActors are those that answer AccountDeleted.
func ErasingActors() []string { return []string{"consent", "integration", "notification", "workflow"} }

// What the actors listen to. Auth hears all answers by one durable.
var (
	IntegrationForgets  = forgets("integration")
	WorkflowForgets     = forgets("workflow")
	ConsentForgets      = forgets("consent")
	NotificationForgets = forgets("notification")

	NoteErasure = subscribe(Subscription[Erasure]{
		Event: ConsentErased, Owner: "auth", Name: "auth_" + erased, Filter: eventPrefix + "*." + erased,
	})
)

func forgets(actor string) Subscription[AccountDeletion] {
	return subscribe(Subscription[AccountDeletion]{Event: AccountDeleted, Owner: actor})
}
