package subjects

import (
	"encoding/json"
	"time"
)

// Templates that weft ships and other actors name. docs/templates.md lists all of them with their variables.
const (
	TemplateVerifyEmail      = "auth.verify_email"
	TemplateChangeEmail      = "auth.change_email"
	TemplateResetPassword    = "auth.reset_password" //nolint:gosec // the name of a template
	TemplateRegisteredTwice  = "auth.registered_twice"
	TemplateEmailTaken       = "auth.email_taken"
	TemplateEmailChanged     = "auth.email_changed"
	TemplatePasswordChanged  = "auth.password_changed"
	TemplateMFAOn            = "auth.mfa_on"
	TemplateMFAOff           = "auth.mfa_off"
	TemplateSessionReuse     = "auth.session_reuse"
	TemplateAccountDeleted   = "auth.account_deleted"
	TemplateAccountClaimed   = "auth.account_claimed"
	TemplateIdentityLinked   = "auth.identity_linked"
	TemplateIdentityUnlinked = "auth.identity_unlinked"
	TemplatePasskeyAdded     = "auth.passkey_added"     //nolint:gosec // the name of a template
	TemplatePasskeyRemoved   = "auth.passkey_removed"   //nolint:gosec // the name of a template
	TemplatePasskeySuspended = "auth.passkey_suspended" //nolint:gosec // the name of a template

	TemplateNeedsReauth       = "integration.needs_reauth"
	TemplateRunRefused        = "workflow.run_refused"
	TemplateWorkflowFailed    = "workflow.failed"
	TemplateApprovalRequested = "workflow.approval_requested"
	TemplateConsentExpiring   = "consent.expiring"
	TemplatePrivacyRequest    = "privacy.request_changed"
	TemplateBatch             = "notification.batch"
	TemplateWebhookFailing    = "webhook.failing"
	TemplateWebhookDisabled   = "webhook.disabled"
	TemplatePhoneCode         = "phone.code"
)

// Template is one version of one variant of a template: that for a language and a channel.
type Template struct {
	ID         string                     `json:"id" example:"order.shipped"`
	Kind       string                     `json:"kind" enum:"message,partial,layout"`
	Locale     string                     `json:"locale" example:"de-CH" doc:"A BCP 47 tag."`
	Channel    string                     `json:"channel,omitempty" enum:"email,sms,push,in_app,webhook" doc:"Absent: for every channel that has no variant of its own."`
	Version    int                        `json:"version" doc:"Counted from 1 for each variant; 0 for one that weft ships."`
	Shipped    bool                       `json:"shipped" doc:"weft ships it. put_template overrides it, and delete_template restores it."`
	Subject    string                     `json:"subject,omitempty"`
	HTML       string                     `json:"html,omitempty"`
	Text       string                     `json:"text,omitempty"`
	Layout     string                     `json:"layout,omitempty"`
	Strict     bool                       `json:"strict"`
	SampleData map[string]json.RawMessage `json:"sample_data,omitempty"`
	Partials   []string                   `json:"partials" doc:"The partials that it uses."`
	CreatedAt  *time.Time                 `json:"created_at,omitempty" doc:"When this version was stored; absent for one that weft ships."`
}

// PutTemplateRequest is the next version of a template.
type PutTemplateRequest struct {
	TemplateID string `json:"template_id" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9._-]*$"`
	Kind       string `json:"kind,omitempty" enum:"message,partial,layout" doc:"Default message. All variants of a template have the same kind."`
	Locale     string `json:"locale,omitempty" maxLength:"35" doc:"A BCP 47 tag. Default: the setting notification.templates.default_locale."`
	Channel    string `json:"channel,omitempty" enum:"email,sms,push,in_app,webhook" doc:"Default: every channel that has no variant of its own."`
	Subject    string `json:"subject,omitempty" maxLength:"1000"`
	HTML       string `json:"html,omitempty" maxLength:"65536" doc:"For e-mail. Values are escaped."`
	Text       string `json:"text,omitempty" maxLength:"65536" doc:"Default: made from html."`
	Layout     string `json:"layout,omitempty" maxLength:"64" pattern:"^[a-z][a-z0-9._-]*$" doc:"A template of the kind layout, in which html and text are put as {{{body}}}."`
	Strict     bool   `json:"strict,omitempty" doc:"A missing variable is an error. Otherwise it is empty."`
	// SampleData is what preview_template renders with.
	SampleData map[string]json.RawMessage `json:"sample_data,omitempty" doc:"What preview_template uses where it gets no data."`
	// ExpectedVersion is the version that the caller has seen.
	ExpectedVersion *int `json:"expected_version,omitempty" minimum:"0" doc:"The variant's current version, 0 for none: conflict if it is another one."`
}

// PutTemplate stores a template's next version.
var PutTemplate = declare(Endpoint[PutTemplateRequest, Template]{
	Subject: "weft.v1.notification.put_template", Route: "PUT /v1/templates/{template_id}", Access: Role(RoleAdmin),
	MaxMessage: 384 << 10,
	Summary:    "Store a template",
	Doc: "Stores the next version of a template for a language and a channel. The sources are a subset of Handlebars: `invalid` names what is " +
		"not in it, with line and column, and the partials and the layout that do not exist. `conflict`: the expected version is not the " +
		"current one, or templates use this one as something that it no longer is. Versions never change; notifications that were " +
		"accepted before keep theirs.",
})

// TemplateRequest names a variant of a template.
type TemplateRequest struct {
	TemplateID string `json:"template_id" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9._-]*$"`
	Locale     string `json:"locale,omitempty" in:"query" maxLength:"35" doc:"A BCP 47 tag. Default: the default locale, or the only one there is."`
	Channel    string `json:"channel,omitempty" in:"query" enum:"email,sms,push,in_app,webhook" doc:"Default: the variant for every channel."`
	Version    int    `json:"version,omitempty" in:"query" minimum:"1" doc:"Default: the current version."`
}

// GetTemplate returns one version of a template.
var GetTemplate = declare(Endpoint[TemplateRequest, Template]{
	Subject: "weft.v1.notification.get_template", Route: "GET /v1/templates/{template_id}", Access: Role(RoleAdmin),
	Summary: "One template", Doc: "Returns one version of the variant of a template for exactly this language and channel, with its sources.",
})

// ListTemplatesRequest filters the list.
type ListTemplatesRequest struct {
	PageRequest
	Kind string `json:"kind,omitempty" in:"query" enum:"message,partial,layout"`
}

// ListTemplates lists the templates.
var ListTemplates = declare(Endpoint[ListTemplatesRequest, Page[Template]]{
	Subject: "weft.v1.notification.list_templates", Route: "GET /v1/templates", Access: Role(RoleAdmin),
	Summary: "Templates", Doc: "Lists the current version of each variant of each template, by id, language and channel, without sources.",
})

// PreviewTemplateRequest names a template and what to render it with.
type PreviewTemplateRequest struct {
	TemplateID string                     `json:"template_id" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9._-]*$"`
	Locale     string                     `json:"locale,omitempty" maxLength:"35" doc:"The reader's language. Default: the default locale."`
	Channel    string                     `json:"channel,omitempty" enum:"email,sms,push,in_app,webhook" doc:"Default email."`
	TimeZone   string                     `json:"time_zone,omitempty" maxLength:"64" doc:"The reader's IANA time zone. Default UTC."`
	Data       map[string]json.RawMessage `json:"data,omitempty" doc:"Default: the template's sample data."`
}

// MissingVariable is a variable that a template uses and the data lacks.
type MissingVariable struct {
	Name     string `json:"name" example:"order.id"`
	Template string `json:"template" doc:"The template or partial that uses it."`
	Part     string `json:"part" enum:"subject,html,text"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
}

// TemplatePreview is a rendered template.
type TemplatePreview struct {
	Subject string            `json:"subject,omitempty"`
	HTML    string            `json:"html,omitempty"`
	Text    string            `json:"text"`
	Locale  string            `json:"locale" doc:"The language of the variant that was rendered."`
	Version int               `json:"version"`
	Strict  bool              `json:"strict" doc:"Sending it with missing variables fails."`
	Missing []MissingVariable `json:"missing" doc:"At most 100."`
}

// PreviewTemplate renders a template without sending anything.
var PreviewTemplate = declare(Endpoint[PreviewTemplateRequest, TemplatePreview]{
	Subject: "weft.v1.notification.preview_template", Route: "POST /v1/templates/{template_id}/preview", Access: Role(RoleAdmin),
	MaxMessage: 256 << 10, ReadOnly: true, Concurrency: 16,
	Summary: "Preview a template",
	Doc: "Renders the current version as a notification would, with the given data or the template's sample data, and lists the missing " +
		"variables; they are no error here. `invalid` where it cannot be rendered, with line and column.",
})

// DeleteTemplateRequest names a template, or one variant of it.
type DeleteTemplateRequest struct {
	TemplateID string `json:"template_id" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9._-]*$"`
	Locale     string `json:"locale,omitempty" in:"query" maxLength:"35" doc:"With it, only the variant for this language and the channel is deleted."`
	Channel    string `json:"channel,omitempty" in:"query" enum:"email,sms,push,in_app,webhook" doc:"Only with locale."`
	// ExpectedVersion is the version that the caller has seen.
	ExpectedVersion int `json:"expected_version,omitempty" in:"query" minimum:"1" doc:"The variant's current version, only with locale: conflict if it is another one."`
}

// DeleteTemplate deletes a template.
var DeleteTemplate = declare(Endpoint[DeleteTemplateRequest, Empty]{
	Subject: "weft.v1.notification.delete_template", Route: "DELETE /v1/templates/{template_id}", Access: Role(RoleAdmin),
	Summary: "Delete a template",
	Doc: "Deletes a template with all variants, or one of them. What weft ships comes back. Notifications that were accepted before keep the " +
		"version that they were accepted with. `conflict`: templates use it as their partial or layout, or the expected version is not the current one.",
})
