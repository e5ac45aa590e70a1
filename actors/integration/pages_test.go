package integration_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/subjects"
)

// TestCallerFollowsNextCursor: a caller reads a whole list by the answers' next_cursor, although the output of the provider's
// manifest is a list and the provider says the cursor elsewhere.
func TestCallerFollowsNextCursor(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{"accountId":"1"}`))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["jira"] = integration.ProviderConfig{BaseURL: v.URL}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "jira", Settings: map[string]any{"site": "navy"}, Credentials: subjects.SecretMap{"email": "grace@example.com", "token": "ATATT3xFfGF0123456789"},
	})
	pages := []string{`{"issues":[{"id":"1"}],"nextPageToken":"a+/=b"}`, `{"issues":[{"id":"2"}],"isLast":true}`}
	v.setHandler(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		seen := v.requests()
		page := pages[0]
		if strings.Contains(seen[len(seen)-1].body, `"nextPageToken":"a+/=b"`) {
			page = pages[1]
		}
		_, _ = io.WriteString(w, page)
	})
	type page struct {
		Items      []struct{ ID string } `json:"items"`
		NextCursor *string               `json:"next_cursor"`
	}
	read := func(input string) (p page) {
		result := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "search_issues", input))
		if err := json.Unmarshal(result.Output, &p); err != nil {
			t.Fatalf("%s: %v", result.Output, err)
		}
		return p
	}
	first := read(`{"jql":"project = NAVY"}`)
	if len(first.Items) != 1 || first.NextCursor == nil || *first.NextCursor != "a+/=b" {
		t.Fatalf("the first page is %+v", first)
	}
	second := read(`{"jql":"project = NAVY","next_page_token":"` + *first.NextCursor + `"}`)
	if len(second.Items) != 1 || second.Items[0].ID != "2" || second.NextCursor != nil {
		t.Errorf("the second page is %+v", second)
	}
	detail := call(t, b, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "jira"})
	for _, a := range detail.Actions {
		if a.ID == "search_issues" && (a.Cursor != "next_page_token" || !a.Paginated) {
			t.Errorf("the provider's list says %+v", a)
		}
	}
}
