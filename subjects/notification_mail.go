package subjects

import "time"

// UnsubscribeRequest is a recipient's wish to get no more mail of a category.
type UnsubscribeRequest struct {
	Token string `json:"token" in:"path" maxLength:"200"`
	Body  []byte `json:"body,omitempty" maxLength:"4096" doc:"List-Unsubscribe=One-Click as a form (RFC 8058 §3.2). What else it says has no meaning."`
}

// Unsubscribe unsubscribes the recipient of a message from its category.
var Unsubscribe = declare(Endpoint[UnsubscribeRequest, Document]{
	Subject: "weft.v1.notification.unsubscribe", Route: "POST /v1/unsubscribe/{token}",
	Access: Public, Body: Body{Kind: BodyRaw, Field: "body"}, Produces: "text/html", ReadOnly: true, MaxMessage: 16 << 10,
	Limits: []Limit{PerIP(300, time.Minute)}, OwnLimits: true,
	Summary: "Unsubscribe with one click",
	Doc: "Switches the channel off for the category that the token names, as mail programs do when their user unsubscribes (RFC 8058), " +
		"and answers with a page. Repeating it has no effect. The token, of the header List-Unsubscribe, does not expire. not_found: it is not one of weft's.",
})

// UnsubscribePageRequest opens the page.
type UnsubscribePageRequest struct {
	Token string `json:"token" in:"path" maxLength:"200"`
	Query string `json:"query,omitempty" in:"raw_query" maxLength:"2048" doc:"Ignored: mail programs and trackers add parameters."`
}

// UnsubscribePage shows what would be switched off, with a button.
var UnsubscribePage = declare(Endpoint[UnsubscribePageRequest, Document]{
	Subject: "weft.v1.notification.unsubscribe_page", Route: "GET /v1/unsubscribe/{token}",
	Access: Public, Produces: "text/html", Limits: []Limit{PerIP(300, time.Minute)}, OwnLimits: true,
	Summary: "The page for unsubscribing",
	Doc: "Answers with a page whose button unsubscribes. It changes nothing itself, since programs open links to look at them. not_found: " +
		"the token is not one of weft's.",
})

// ProviderCallbackRequest is a report of a provider as received.
type ProviderCallbackRequest struct {
	Provider string            `json:"provider" in:"path" maxLength:"32" pattern:"^[a-z][a-z0-9_]*$"`
	Query    string            `json:"query,omitempty" in:"raw_query" maxLength:"2048"`
	Headers  map[string]string `json:"headers"`
	Body     []byte            `json:"body" doc:"The raw body, base64 in JSON."`
}

// ProviderCallback receives what providers report about messages.
var ProviderCallback = declare(Endpoint[ProviderCallbackRequest, Empty]{
	Subject: "weft.v1.notification.provider_callback", Route: "POST /v1/callbacks/{provider}",
	Access: Public, Body: Body{Kind: BodyRaw, Field: "body"}, ReadOnly: true,
	Limits: []Limit{PerIP(1200, time.Minute)}, OwnLimits: true, Concurrency: 32,
	Summary: "A provider's report on messages",
	Doc: "Takes what a provider reports: deliveries, bounces, complaints, opens and clicks. The providers are ses (through SNS), sendgrid " +
		"(signed event webhook), twilio, and smtp (a bounced mail, from a mail server that has the secret of notification.smtp). Each report " +
		"takes effect once. unauthenticated: its origin cannot be verified; nothing is recorded. not_found: the provider is not configured.",
})

// Suppression is an address that gets no mail.
type Suppression struct {
	ID       string    `json:"id"`
	Address  string    `json:"address"`
	UserID   string    `json:"user_id,omitempty"`
	Reason   string    `json:"reason" enum:"bounce,complaint,manual" doc:"A complaint does not hold back messages of the category security."`
	Provider string    `json:"provider,omitempty" doc:"Who reported it."`
	Detail   string    `json:"detail,omitempty"`
	Since    time.Time `json:"since"`
}

// ListSuppressionsRequest filters the list.
type ListSuppressionsRequest struct {
	PageRequest
	Reason  string `json:"reason,omitempty" in:"query" enum:"bounce,complaint,manual"`
	Address string `json:"address,omitempty" in:"query" maxLength:"320" doc:"Only this address."`
}

// ListSuppressions lists the addresses that get no mail.
var ListSuppressions = declare(Endpoint[ListSuppressionsRequest, Page[Suppression]]{
	Subject: "weft.v1.notification.list_suppressions", Route: "GET /v1/suppressions", Access: Role(RoleAdmin),
	Summary: "Addresses that get no mail", Doc: "Lists the suppressed addresses, newest first.",
})

// AddSuppressionRequest names an address.
type AddSuppressionRequest struct {
	Address string `json:"address" minLength:"3" maxLength:"320"`
	Detail  string `json:"detail,omitempty" maxLength:"300" doc:"Why."`
}

// AddSuppression adds an address to the suppression list.
var AddSuppression = declare(Endpoint[AddSuppressionRequest, Suppression]{
	Subject: "weft.v1.notification.add_suppression", Route: "POST /v1/suppressions", Access: Role(RoleAdmin), Status: 201,
	Summary: "Suppress an address", Doc: "Adds an address to which nothing is sent any more. One that is there already remains as it is.",
})

// SuppressionRequest names a suppression.
type SuppressionRequest struct {
	ID string `json:"id" in:"path" format:"uuid"`
}

// DeleteSuppression removes an address from the suppression list.
var DeleteSuppression = declare(Endpoint[SuppressionRequest, Empty]{
	Subject: "weft.v1.notification.delete_suppression", Route: "DELETE /v1/suppressions/{id}", Access: Role(RoleAdmin),
	Summary: "Send to an address again",
	Doc:     "Removes an address from the suppression list. What was suppressed before is not sent. Providers have lists of their own.",
})
