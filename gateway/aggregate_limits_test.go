package gateway_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// TestLimitsOfACaller asks for the limits while one actor is away: they are those of the gateway and of the others, for the caller,
// by name, and the missing actor has a problem.
func TestLimitsOfACaller(t *testing.T) {
	t.Parallel()
	s := start(t, gateway.DefaultConfig())
	me := actortest.User()
	for actor, endpoint := range map[string]subjects.Endpoint[subjects.Empty, subjects.UserLimits]{
		"auth": subjects.GetAuthLimits, "integration": subjects.GetIntegrationLimits, "workflow": subjects.GetWorkflowLimits,
		"consent": subjects.GetConsentLimits,
	} {
		s.actor(t, actor, actors.Bind(endpoint, func(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
			used := int64(1)
			if actors.CallerFrom(ctx).UserID != me {
				t.Errorf("%s was asked for %s", actor, actors.CallerFrom(ctx).UserID)
			}
			return subjects.UserLimits{Items: []subjects.UserLimit{{Name: actor + ".max_things", Description: "things", Unit: "count", Limit: 9, Used: &used}}}, nil
		}))
	}
	response, body := s.do(t, "GET", "/v1/users/me/limits", "", bearer(s.Token(t, me)))
	var limits gateway.CallerLimits
	if err := json.Unmarshal([]byte(body), &limits); err != nil || response.StatusCode != 200 {
		t.Fatalf("%d %v %s", response.StatusCode, err, body)
	}
	byName := map[string]subjects.UserLimit{}
	for _, l := range limits.Items {
		byName[l.Name] = l
	}
	if !slices.IsSortedFunc(limits.Items, func(a, b subjects.UserLimit) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the limits are not in the order of their names")
	}
	if l := byName["workflow.max_things"]; l.Limit != 9 || l.Used == nil || *l.Used != 1 {
		t.Errorf("of workflow: %+v", l)
	}
	if l := byName["gateway.limits.per_user"]; l.Limit != 100 || l.Period != 60 || l.Used != nil {
		t.Errorf("of the gateway: %+v", l)
	}
	if l := byName["gateway.streams.per_user"]; l.Limit != 10 || l.Used == nil || *l.Used != 0 {
		t.Errorf("of streams: %+v", l)
	}
	if l := byName["integration.get_auth_url"]; l.Limit != 60 || l.Period != 60 {
		t.Errorf("of an endpoint: %+v", l)
	}
	if limits.Errors["notification"].Code != subjects.CodeUnavailable || len(limits.Errors) != 1 {
		t.Errorf("the problems are %+v", limits.Errors)
	}
	checkResponse(t, "/v1/users/me/limits", response, body)
	response, body = s.do(t, "GET", "/v1/users/me/limits", "")
	scenario{status: 401, code: subjects.CodeUnauthenticated}.check(t, response, body)
}
