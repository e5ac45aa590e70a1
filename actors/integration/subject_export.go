package integration

import "github.com/weftmesh/weft/actors/dataexport"

// Reasons for which columns are not exported.
const (
	omittedCredential = "it is a credential" //nolint:gosec // a reason
	omittedInternal   = "weft's own bookkeeping; it says nothing about the person"
)

// ExportSet is what the actor exports of a user.
func ExportSet() dataexport.Set {
	return dataexport.Set{Sealed: Sealed, Omitted: map[string]string{
		"object_parts": "how the content of files is stored; the content is downloaded at /v1/objects",
	}, Sources: []dataexport.Source{
		{
			Name: "connections", Doc: "Accounts that the person has connected.", Key: []string{"id"},
			Columns: "id user_id provider label auth status reason settings:json host account probed_at:time probe_class created_at:time updated_at:time " +
				"expires_at:time",
			Omitted: map[string]string{
				"credentials": omittedCredential, "tokens": omittedCredential, "version": omittedInternal, "token_version": omittedInternal,
				"refresh_at": omittedInternal, "claimed_by": omittedInternal, "claimed_until": omittedInternal, "refresh_failures": omittedInternal,
				"refresh_after": omittedInternal, "scheduled": omittedInternal,
			},
		},
		{
			Name: "calls", Doc: "Calls that were made in connected accounts.", Key: []string{"id"},
			Columns: "id connection_id user_id provider action caller client at:time duration status http_status code class message attempts provider_request_id",
		},
		{
			Name: "hooks", Doc: "Addresses at which providers report events.", Key: []string{"id"},
			Columns: "id user_id connection_id provider label old_until:time opened_at:time received_at:time created_at:time updated_at:time",
			Omitted: map[string]string{
				"secret": omittedCredential, "old_secret": omittedCredential, "reveal": omittedInternal, "version": omittedInternal,
			},
		},
		{
			Name: "hook_deliveries", Doc: "Deliveries of providers, by a hash of their id, so that a repeated one is recognised.", Derived: true,
			Key: []string{"hook_id", "key"}, Of: "hook_id IN (SELECT id FROM hooks WHERE user_id = ?)", Columns: "hook_id key at:time",
		},
		{
			Name: "hook_usage", Doc: "How much the hooks have received on a day.", Derived: true, Key: []string{"day"},
			Columns: "user_id day:day deliveries bytes minute minute_bytes",
		},
		{
			Name: "probes", Doc: "The last check of each connection.", Derived: true, Key: []string{"connection_id"},
			Columns: "connection_id user_id provider at:time due_at:time duration class",
		},
		{
			Name: "objects", Doc: "Files. The content of each is at /v1/objects/{id}/content until it expires.", Key: []string{"id"},
			Columns: "id user_id name content_type state size sha256 created_at:time expires_at:time",
			Omitted: map[string]string{
				"data_key": omittedCredential, "reserved": omittedInternal, "part_size": omittedInternal, "keep_for": omittedInternal,
			},
		},
		{
			Name: "agent_policies", Doc: "What agents may do for the person.", Key: []string{"user_id"},
			Columns: "user_id rules:json updated_at:time",
		},
		{
			Name: "agent_approvals", Doc: "Calls for which agents asked for approval.", Key: []string{"id"},
			Columns: "id user_id operation target input:open client status created_at:time expires_at:time decided_at:time",
			Omitted: map[string]string{"digest": omittedInternal},
		},
		{Name: "object_usage", Doc: "The size of all files together.", Derived: true, Key: []string{"user_id"}, Columns: "user_id bytes"},
	}}
}
