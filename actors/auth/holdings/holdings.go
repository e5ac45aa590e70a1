// Package holdings lists what the auth actor holds of a user, for requests for access and portability.
package holdings

import (
	"cmp"
	"context"
	"slices"

	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/seal"
)

// Reasons for which columns are not exported.
const (
	omittedCredential = "it is a credential, or what a credential is verified with" //nolint:gosec // a reason
	omittedInternal   = "weft's own bookkeeping; it says nothing about the person"
)

// Set is what the actor exports of a user. sessions returns those of a user, which are in a bucket and not in a table.
func Set(
	sealed []seal.Column, sessions func(ctx context.Context, userID string) ([]dataexport.Record, error),
) dataexport.Set {
	page := func(ctx context.Context, userID, after string, limit int) ([]dataexport.Record, error) {
		records, err := sessions(ctx, userID)
		records = slices.DeleteFunc(records, func(r dataexport.Record) bool { return r.Key <= after })
		slices.SortFunc(records, func(a, b dataexport.Record) int { return cmp.Compare(a.Key, b.Key) })
		return records[:min(limit, len(records))], err
	}
	return dataexport.Set{Sealed: sealed, Omitted: map[string]string{ //nolint:gosec // reasons
		"signing_keys":    "has no data of users",
		"secrets":         "has no data of users",
		"recovery_codes":  "hashes of credentials; that there are some is in totp",
		"erasures":        "is about deleted accounts, which can make no request",
		"erasure_answers": "is about deleted accounts, which can make no request",
	}, Sources: []dataexport.Source{
		{
			Name: "users", Doc: "The account and its profile.", Key: []string{"id"}, Of: "id = ?",
			Columns: "id email email_verified:bool first_name last_name avatar_url locale time_zone roles:list disabled:bool " +
				"duplicate_registration:bool second_factor created_at:time updated_at:time",
			Omitted: map[string]string{"password_hash": omittedCredential, "epoch": omittedInternal, "version": omittedInternal, "erasure_id": omittedInternal},
		},
		{Name: "sessions", Doc: "Sessions that have not ended.", Columns: "id method two_factors device ip created_at refreshed_at expires_at", Read: page},
		{
			Name: "identities", Doc: "Accounts at providers with which the person signs in.", Key: []string{"id"},
			Columns: "id user_id provider issuer subject email name needs_reauth:bool created_at:time used_at:time",
			Omitted: map[string]string{
				"sealed": omittedCredential, "version": omittedInternal, "refresh_at": omittedInternal, "claimed_until": omittedInternal,
			},
		},
		{
			Name: "passkeys", Doc: "Passkeys.", Key: []string{"id"},
			Columns: "id user_id name transports:list sign_count backup_eligible:bool backed_up:bool suspended:bool created_at:time used_at:time",
			Omitted: map[string]string{"credential_id": omittedCredential, "public_key": omittedCredential},
		},
		{
			Name: "totp", Doc: "The authenticator.", Key: []string{"user_id"}, Columns: "user_id confirmed:bool created_at:time",
			Omitted: map[string]string{"sealed": omittedCredential, "last_step": omittedInternal},
		},
		{
			Name: "api_keys", Doc: "API keys.", Key: []string{"id"},
			Columns: "id user_id name prefix scopes:list created_at:time expires_at:time last_used_at:time",
			Omitted: map[string]string{"hash": omittedCredential},
		},
		{
			Name: "messages", Doc: "E-mail that weft has sent or sends about the account.", Key: []string{"id"}, Derived: true,
			Columns: "id user_id to_user:bool email purpose created_at:time send_at:time surplus:bool expires_at:time",
			Omitted: map[string]string{
				"token_hash": omittedCredential, "sealed": "the text has a credential, and is deleted when it is sent",
				"source": "a keyed hash of the network that has asked for it, which may be somebody else's",
			},
		},
		{
			Name: "audit_events", Doc: "What was done with the account, when and from where.", Key: []string{"id"},
			Columns: "id user_id at:time action outcome ip device session_id",
		},
	}}
}
