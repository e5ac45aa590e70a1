package subjects

import "time"

// ExportSubjectRequest asks for what an actor holds of the user that the service acts for.
type ExportSubjectRequest struct {
	Cursor string `json:"cursor,omitempty" maxLength:"4096" doc:"The next_cursor of the previous page; opaque."`
}

// SubjectRecords is a page of what an actor holds of a user: records of one source.
type SubjectRecords struct {
	Source     string   `json:"source,omitempty" doc:"The kind of the records."`
	Doc        string   `json:"doc,omitempty" doc:"What a record is."`
	Derived    bool     `json:"derived,omitempty" doc:"weft has computed it; the person has not provided it (GDPR Art. 20(1))."`
	Columns    []string `json:"columns,omitempty" doc:"The members of each record, in order."`
	Data       []byte   `json:"data,omitempty" doc:"Lines of JSON, a record each, in Base64. A record that is too long for a page continues in the next one."`
	Records    int      `json:"records,omitempty" doc:"How many records end in this page."`
	NextCursor string   `json:"next_cursor,omitempty" doc:"Pass it as cursor to get the next page; absent on the last page."`
}

// What each actor holds of a user. The consent actor reads its own tables itself.
var (
	ExportAuthSubject         = declareSubjectExport("auth", "the account with its sessions, credentials without their secrets, and audit events")
	ExportIntegrationSubject  = declareSubjectExport("integration", "connections without their credentials, calls, hooks and files")
	ExportWorkflowSubject     = declareSubjectExport("workflow", "workflows, executions, schedules and approvals")
	ExportNotificationSubject = declareSubjectExport("notification", "notifications, settings, devices, phone numbers and webhooks")
)

func declareSubjectExport(actor, what string) Endpoint[ExportSubjectRequest, SubjectRecords] {
	return declare(Endpoint[ExportSubjectRequest, SubjectRecords]{
		Subject: "weft.v1." + actor + ".export_subject", Access: ServiceWithoutGrant("consent"), Timeout: 30 * time.Second, Concurrency: 8,
		Summary: "What the actor holds of a user",
		Doc: "Returns what the actor holds of a user, page by page, for requests for access and portability (GDPR Art. 15 and 20): " + what +
			". conflict: a record that takes several pages has changed; begin again.",
	})
}

// SubjectExports are the endpoints by the names of their actors.
func SubjectExports() map[string]Endpoint[ExportSubjectRequest, SubjectRecords] {
	return map[string]Endpoint[ExportSubjectRequest, SubjectRecords]{
		"auth": ExportAuthSubject, "integration": ExportIntegrationSubject, "workflow": ExportWorkflowSubject, "notification": ExportNotificationSubject,
	}
}
