package workflow

import (
	"slices"

	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/workflow/packed"
)

// omittedInternal is a reason for which columns are not exported.
const omittedInternal = "weft's own bookkeeping; it says nothing about the person"

// ExportSet is what the actor exports of a user.
func ExportSet() dataexport.Set {
	return dataexport.Set{Sealed: Sealed, Unpack: unpack, Omitted: map[string]string{
		"partitions": "has no data of users", "extensions": "has no data of users",
		"edges": "has no data of users", "edge_outboxes": "has no data of users",
	}, Sources: slices.Concat(exportDefinitions(), exportExecutions(), exportCorrelations())}
}

// unpack decodes what SQL has compressed.
func unpack(stored any) (string, error) {
	var text packed.Text
	err := text.Scan(stored)
	return string(text), err
}

func exportDefinitions() []dataexport.Source {
	return []dataexport.Source{
		{
			Name: "workflows", Doc: "Workflows.", Key: []string{"id"},
			Columns: "id user_id name version bytes created_at:time deleted_at:time",
		},
		{
			Name: "workflow_versions", Doc: "Each version of a workflow, with its definition.", Key: []string{"workflow_id", "version"},
			Of: "workflow_id IN (SELECT id FROM workflows WHERE user_id = ?)",
			Columns: "workflow_id version namespace name declared title summary digest tasks definition:json source author_keys:list author_scopes:list " +
				"created_at:time",
			Omitted: map[string]string{
				"lifecycle": "computed from the definition", "extension_events": "computed from the definition", "functions": omittedInternal,
			},
		},
		{
			Name: "schedules", Doc: "Schedules and triggers of workflows.", Key: []string{"id"},
			Columns: "id user_id workflow_id name version kind listens:bool timing paused_at:time note anchor:time nominal_until:time after_from:time wake_at:time " +
				"refused_at:time refused_reason created_at:time",
			Omitted: map[string]string{"revision": omittedInternal},
		},
		{
			Name: "schedule_runs", Doc: "Runs of schedules.", Key: []string{"schedule_id", "nominal"},
			Of:      "schedule_id IN (SELECT id FROM schedules WHERE user_id = ?)",
			Columns: "schedule_id nominal execution_id status overlap backfill due_at:time reason updated_at:time",
		},
		{
			Name: "workflow_secrets", Doc: "The names of secrets.", Key: []string{"name"}, Columns: "user_id name created_at:time updated_at:time",
			Omitted: map[string]string{"sealed": "it is a secret"},
		},
	}
}

func exportExecutions() []dataexport.Source {
	ofExecution := "execution_id IN (SELECT id FROM executions WHERE user_id = ?)"
	return []dataexport.Source{
		{
			Name: "executions", Doc: "Executions of workflows, with input, output and the beginning of their history.", Key: []string{"id"},
			Columns: "id user_id chosen_id workflow_id version name consent_id authority_keys:list authority_scopes:list status priority origin_kind origin_id " +
				"origin_task parent_id parent_call events input:packed output:packed error:json error_type attributes:json trace created_at:time started_at:time " +
				"ended_at:time due_at:time history:packed snapshot:packed",
			Omitted: map[string]string{
				"partition": omittedInternal, "evicted": omittedInternal, "listens": omittedInternal, "watched": omittedInternal,
				"origin_depth": omittedInternal, "origin_root": omittedInternal, "origin_ancestors": omittedInternal,
			},
		},
		{
			Name: "execution_histories", Doc: "Further events of executions.", Key: []string{"execution_id", "first"}, Of: ofExecution,
			Columns: "execution_id first events:packed",
		},
		{
			Name: "execution_limits", Doc: "Executions that count against limits.", Derived: true, Key: []string{"execution_id"},
			Columns: "execution_id user_id workflow_id priority concurrency_key max_concurrent rate_key rate period created_at:time started_at:time " +
				"counts_until:time",
			Omitted: map[string]string{"partition": omittedInternal},
		},
		{
			Name: "refused_starts", Doc: "Executions that could not be started.", Key: []string{"id"},
			Columns: "id user_id workflow_id version name cause bytes input:json error:json error_type created_at:time",
		},
		{
			Name: "approvals", Doc: "Requests for approval, and their decisions.", Key: []string{"id"},
			Columns: "id user_id execution_id workflow_id name call_id title body data:json on_timeout status comment created_at:time expires_at:time " +
				"decided_at:time delivered_at:time",
		},
		{Name: "failure_marks", Doc: "What was done about failed executions.", Key: []string{"id"}, Columns: "id user_id status replayed_as created_at:time"},
		{
			Name: "cancelled_trees", Doc: "Executions that are being cancelled with those that they have started.", Derived: true, Key: []string{"execution_id"},
			Columns: "execution_id user_id root passes next_at:time",
		},
	}
}

func exportCorrelations() []dataexport.Source {
	return []dataexport.Source{
		{
			Name: "correlations", Doc: "Events that a trigger has collected so far.", Key: []string{"id"},
			Columns: "id schedule_id user_id state:json problem whole:bool bytes created_at:time",
			Omitted: map[string]string{
				"terms": omittedInternal, "depth": omittedInternal, "root": omittedInternal, "ancestors": omittedInternal,
			},
		},
		{
			Name: "correlated_events", Doc: "Events that a trigger has used.", Derived: true, Key: []string{"schedule_id", "event"},
			Columns: "schedule_id event user_id whole correlated_at:time",
		},
	}
}
