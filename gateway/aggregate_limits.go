package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// limitParts are the endpoints that return the limits of each actor.
var limitParts = map[string]subjects.Endpoint[subjects.Empty, subjects.UserLimits]{
	"auth": subjects.GetAuthLimits, "integration": subjects.GetIntegrationLimits, "workflow": subjects.GetWorkflowLimits,
	"consent": subjects.GetConsentLimits, "notification": subjects.GetNotificationLimits,
}

var limitsAggregate = aggregate{
	name: "gateway.limits", route: "/v1/users/me/limits", summary: "My limits",
	doc: "Returns every limit that applies to the caller, by the name of its setting, with what the caller has of it where that is counted. " +
		"A request beyond a limit is refused with rate_limited, and its detail names the limit. The limits of an actor that cannot be " +
		"asked are left out, and the problem is in `errors`.",
	response: CallerLimits{}, collect: collectLimits,
	parts: []aggregatePart{
		{"auth", subjects.GetAuthLimits.Describe()}, {"consent", subjects.GetConsentLimits.Describe()},
		{"integration", subjects.GetIntegrationLimits.Describe()}, {"notification", subjects.GetNotificationLimits.Describe()},
		{"workflow", subjects.GetWorkflowLimits.Describe()},
	},
}

// CallerLimits is the response of GET /v1/users/me/limits.
type CallerLimits struct {
	Items  []subjects.UserLimit        `json:"items" doc:"The limits, by name."`
	Errors map[string]subjects.Problem `json:"errors,omitempty" doc:"The problems of the actors whose limits are missing, by name."`
}

func collectLimits(ctx context.Context, rc *requestContext) (any, error) {
	var calls sync.WaitGroup
	results := map[string]*result[subjects.UserLimits]{}
	for actor, endpoint := range limitParts {
		results[actor] = start(ctx, &calls, rc, endpoint, subjects.Empty{})
	}
	calls.Wait()
	response := CallerLimits{Items: rc.g.limitsOf(rc)}
	for actor, r := range results {
		if rc.succeeded(actor, r.err, &response.Errors) {
			response.Items = append(response.Items, r.reply.Items...)
		}
	}
	slices.SortStableFunc(response.Items, func(a, b subjects.UserLimit) int { return cmp.Compare(a.Name, b.Name) })
	return response, nil
}

// limitsOf returns the gateway's own limits of a caller.
func (g *Gateway) limitsOf(rc *requestContext) []subjects.UserLimit {
	open := g.streams.openOf(rc.caller.limitKey())
	list := []subjects.UserLimit{{
		Name: "gateway.streams.per_user", Description: "open streams, uploads and downloads of a gateway", Unit: "count",
		Limit: int64(g.streams.config.PerUser), Used: &open,
	}}
	if g.limits == nil {
		return list
	}
	list = append(list, subjects.UserLimit{
		Name: "gateway.limits.per_user", Description: "requests", Unit: "count", Limit: int64(g.limits.config.PerUser),
		Period: int(limitPeriod / time.Second),
	})
	for _, d := range subjects.Endpoints() {
		for _, limit := range d.Limits {
			if limit.By == "user" && d.Path != "" {
				list = append(list, subjects.UserLimit{
					Name: d.Name(), Description: "requests: " + d.HTTPMethod + " " + d.Path, Unit: "count", Limit: int64(limit.Requests),
					Period: int(limit.Period / time.Second),
				})
			}
		}
	}
	return list
}

// openOf returns how many streams a caller has open, by its limitKey.
func (s *streams) openOf(caller string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.openBy[caller])
}
