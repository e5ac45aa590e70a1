package subjects

import "time"

// Kinds of a privacy request.
const (
	PrivacyAccess        = "access"
	PrivacyPortability   = "portability"
	PrivacyRectification = "rectification"
	PrivacyErasure       = "erasure"
)

// Statuses of a privacy request.
const (
	PrivacyInProgress = "in_progress"
	PrivacyCompleted  = "completed"
	PrivacyRejected   = "rejected"
)

// Rectification is a value that is wrong, and what is right.
type Rectification struct {
	Field     string `json:"field" maxLength:"64" pattern:"^[a-z][a-z0-9_.]*$" example:"last_name" doc:"What is wrong: a field of the profile, or anything else by name."`
	Value     string `json:"value" maxLength:"1000" doc:"What is right."`
	Corrected bool   `json:"corrected" doc:"Set when the user has changed the field of the profile since."`
}

// PrivacyActor is the progress of one actor.
type PrivacyActor struct {
	Actor  string     `json:"actor" enum:"auth,consent,integration,notification,workflow"`
	Status string     `json:"status" enum:"pending,done"`
	Items  int64      `json:"items" doc:"Number of records found or erased."`
	At     *time.Time `json:"at,omitempty"`
}

// PrivacyExport is the file that answers a request for access or portability.
type PrivacyExport struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size" doc:"In bytes."`
	SHA256      string    `json:"sha256"`
	Download    string    `json:"download" doc:"The path to download it from."`
	ExpiresAt   time.Time `json:"expires_at" doc:"When it is deleted. A further request makes a new one."`
}

// PrivacyRequest is a user's request under data protection law.
type PrivacyRequest struct {
	ID              string          `json:"id"`
	UserID          string          `json:"user_id"`
	Kind            string          `json:"kind" enum:"access,portability,rectification,erasure"`
	Status          string          `json:"status" enum:"in_progress,completed,rejected"`
	Format          string          `json:"format,omitempty" enum:"json,csv"`
	Fields          []Rectification `json:"fields,omitempty"`
	Note            string          `json:"note,omitempty"`
	RequestedAt     time.Time       `json:"requested_at"`
	DueAt           time.Time       `json:"due_at" doc:"One month after the request, or three if it was extended (GDPR Art. 12(3))."`
	ExtendedAt      *time.Time      `json:"extended_at,omitempty"`
	ExtensionReason string          `json:"extension_reason,omitempty"`
	EndedAt         *time.Time      `json:"ended_at,omitempty"`
	Resolution      string          `json:"resolution,omitempty" doc:"What was done, or why nothing was (GDPR Art. 12(4))."`
	Problem         string          `json:"problem,omitempty" doc:"Why the last attempt to collect the data has failed; the next one is made by itself."`
	Actors          []PrivacyActor  `json:"actors"`
	Export          *PrivacyExport  `json:"export,omitempty"`
	ErasureID       string          `json:"erasure_id,omitempty" doc:"For get_erasure."`
}

// CreatePrivacyRequestRequest is a new request.
type CreatePrivacyRequestRequest struct {
	Kind     string                `json:"kind" enum:"access,portability,rectification,erasure"`
	Format   string                `json:"format,omitempty" enum:"json,csv" doc:"Of access and portability; default json."`
	Fields   []RectificationChange `json:"fields,omitempty" maxItems:"20" doc:"Required for rectification."`
	Note     string                `json:"note,omitempty" maxLength:"2000" doc:"Anything that the person wants to add."`
	Password string                `json:"password,omitempty" maxLength:"1024" doc:"For erasure, as for delete_account."`
	Code     string                `json:"code,omitempty" maxLength:"64" doc:"For erasure, as for delete_account."`
}

// RectificationChange is a value that is wrong, as the user states it.
type RectificationChange struct {
	Field string `json:"field" minLength:"1" maxLength:"64" pattern:"^[a-z][a-z0-9_.]*$" example:"last_name"`
	Value string `json:"value" maxLength:"1000"`
}

// CreatedPrivacyRequest is a new request. An erasure's token gives access to its progress without an account.
type CreatedPrivacyRequest struct {
	PrivacyRequest
	ErasureToken string `json:"erasure_token,omitempty" doc:"For get_erasure, which shows the progress when the account no longer exists; shown once."`
}

// CreatePrivacyRequest makes a request.
var CreatePrivacyRequest = declare(Endpoint[CreatePrivacyRequestRequest, CreatedPrivacyRequest]{
	Subject: "weft.v1.consent.create_privacy_request", Route: "POST /v1/privacy/requests", Access: User, Status: 202,
	Location: "/v1/privacy/requests/{id}", Secret: []string{"erasure_token"}, Origin: true, Timeout: 30 * time.Second, Limits: []Limit{PerUser(10, time.Minute)},
	Summary: "Request access, a copy, a correction or erasure",
	Doc: "Makes a request under data protection law. access (GDPR Art. 15) collects everything that weft holds of the user in every actor into a file; " +
		"portability (Art. 20) what the user has provided and what was observed; rectification (Art. 16) is done by the user with update_user_profile, " +
		"or by an admin; erasure (Art. 17) deletes the account, with the proof that delete_account asks for. Errors: conflict if a request of the kind " +
		"is in progress; rate_limited at the bound of requests; those of delete_account.",
})

// PrivacyRequestRequest names a request.
type PrivacyRequestRequest struct {
	RequestID string `json:"request_id" in:"path" format:"uuid"`
}

// GetPrivacyRequest returns a request.
var GetPrivacyRequest = declare(Endpoint[PrivacyRequestRequest, PrivacyRequest]{
	Subject: "weft.v1.consent.get_privacy_request", Route: "GET /v1/privacy/requests/{request_id}", Access: User,
	Summary: "One privacy request", Doc: "Returns one of the caller's privacy requests, with its progress by actor and, when it is there, the file to download.",
})

// ListPrivacyRequestsRequest selects a page.
type ListPrivacyRequestsRequest struct {
	PageRequest
	Kind   string `json:"kind,omitempty" in:"query" enum:"access,portability,rectification,erasure"`
	Status string `json:"status,omitempty" in:"query" enum:"in_progress,completed,rejected"`
}

// ListPrivacyRequests lists the caller's requests.
var ListPrivacyRequests = declare(Endpoint[ListPrivacyRequestsRequest, Page[PrivacyRequest]]{
	Subject: "weft.v1.consent.list_privacy_requests", Route: "GET /v1/privacy/requests", Access: User,
	Summary: "My privacy requests", Doc: "Lists the caller's privacy requests, newest first.",
})

// GetPrivacyExport downloads the file of a request.
var GetPrivacyExport = declare(Endpoint[ContentRequest, ContentPart]{
	Subject: "weft.v1.consent.get_privacy_export", Route: "GET /v1/privacy/exports/{object_id}/content", Access: User, Parts: true,
	Timeout: 30 * time.Second, Concurrency: 16,
	Summary: "Download what weft holds of me",
	Doc: "Downloads the file of a request for access or portability, a ZIP archive with a file for each kind of record. It needs a session of the user; " +
		"no API key will do. not_found once it has expired.",
})

// ListAllPrivacyRequestsRequest selects a page of all users' requests.
type ListAllPrivacyRequestsRequest struct {
	ListPrivacyRequestsRequest
	DueBefore *time.Time `json:"due_before,omitempty" in:"query" doc:"Only requests in progress that are due before."`
}

// ListAllPrivacyRequests lists the requests of all users.
var ListAllPrivacyRequests = declare(Endpoint[ListAllPrivacyRequestsRequest, Page[PrivacyRequest]]{
	Subject: "weft.v1.consent.list_all_privacy_requests", Route: "GET /v1/admin/privacy/requests", Access: Role(RoleAdmin),
	Summary: "All privacy requests", Doc: "Lists the privacy requests of all users, newest first. Files are not shown: only their owner can download them.",
})

// ExtendPrivacyRequestRequest says why more time is needed.
type ExtendPrivacyRequestRequest struct {
	RequestID string `json:"request_id" in:"path" format:"uuid"`
	Reason    string `json:"reason" minLength:"1" maxLength:"1000" doc:"The user can read it."`
}

// ExtendPrivacyRequest extends the time of a request.
var ExtendPrivacyRequest = declare(Endpoint[ExtendPrivacyRequestRequest, PrivacyRequest]{
	Subject: "weft.v1.consent.extend_privacy_request", Route: "POST /v1/admin/privacy/requests/{request_id}/extend", Access: Role(RoleAdmin),
	Summary: "Extend a privacy request",
	Doc: "Extends a request by two further months, once, and tells the user why (GDPR Art. 12(3)). conflict if it has ended or was extended, or if the " +
		"first month is over.",
})

// ResolvePrivacyRequestRequest says what was done.
type ResolvePrivacyRequestRequest struct {
	RequestID string `json:"request_id" in:"path" format:"uuid"`
	Status    string `json:"status" enum:"completed,rejected"`
	Note      string `json:"note" minLength:"1" maxLength:"2000" doc:"What was done, or why nothing is and where the user can complain (GDPR Art. 12(4)). The user can read it."`
}

// ResolvePrivacyRequest ends a request.
var ResolvePrivacyRequest = declare(Endpoint[ResolvePrivacyRequestRequest, PrivacyRequest]{
	Subject: "weft.v1.consent.resolve_privacy_request", Route: "POST /v1/admin/privacy/requests/{request_id}/resolve", Access: Role(RoleAdmin),
	Summary: "Resolve a privacy request",
	Doc:     "Ends a request with a note to the user. conflict if it has ended, and for an erasure, which ends by itself.",
})

// PrivacyRequestChange is the data of PrivacyRequestChanged.
type PrivacyRequestChange struct {
	RequestID string    `json:"request_id"`
	Kind      string    `json:"kind" enum:"access,portability,rectification,erasure"`
	Change    string    `json:"change" enum:"received,extended,completed,rejected"`
	DueAt     time.Time `json:"due_at"`
}

// PrivacyRequestChanged is published when a request was received, extended or ended.
var PrivacyRequestChanged = declareEvent(Event[PrivacyRequestChange]{
	Subject: "weft.event.v1.consent.privacy_request_changed",
	Doc:     "A privacy request was received, extended, completed or rejected. An erasure's event is not published after the account is deleted.",
})

// NotifyPrivacyRequest subscribes the notification actor to changes of privacy requests.
var NotifyPrivacyRequest = subscribe(Subscription[PrivacyRequestChange]{Event: PrivacyRequestChanged, Owner: "notification"})

// The consent actor's subscriptions, from which privacy requests are followed.
var (
	PrivacyErasures = subscribe(Subscription[Erasure]{
		Event: ConsentErased, Owner: "consent", Name: "consent_account_erased", Filter: eventPrefix + "*." + erased,
	})
	PrivacyRectifications = subscribe(Subscription[UserUpdated]{Event: UserUpdatedEvent, Owner: "consent"})
)

// EraseAccountRequest carries what the user has given to prove to be the owner of the account.
type EraseAccountRequest struct {
	SessionID string `json:"session_id" maxLength:"64"`
	IP        string `json:"ip,omitempty" maxLength:"64" doc:"The client's address, by which wrong passwords are counted."`
	Device    string `json:"device,omitempty" maxLength:"512" doc:"The client's user agent."`
	Password  string `json:"password,omitempty" maxLength:"1024"`
	Code      string `json:"code,omitempty" maxLength:"64"`
}

// EraseAccount deletes the account of a user who has requested erasure.
var EraseAccount = declare(Endpoint[EraseAccountRequest, ErasureStarted]{
	Subject: "weft.v1.auth.erase_account", Access: ServiceWithoutGrant("consent"), Secret: []string{"token"}, Timeout: 20 * time.Second,
	Summary: "Delete an account at its owner's request",
	Doc: "Deletes the account as delete_account does, with the same proof: the password, or a session that was started within the last five minutes, " +
		"and a code if an authenticator is enabled. Errors: those of delete_account; forbidden if the session is not one of the user's.",
})
