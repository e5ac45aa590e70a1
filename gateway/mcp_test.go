package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// withToken adds the token to the requests of an MCP client.
type withToken string

func (token withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(token))
	return http.DefaultTransport.RoundTrip(r)
}

func (s *site) agent(t *testing.T, token string) *sdk.ClientSession {
	t.Helper()
	client := sdk.NewClient(&sdk.Implementation{Name: "tester", Version: "7"}, nil)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: withToken(token)}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func use(t *testing.T, session *sdk.ClientSession, name string, arguments map[string]any) (map[string]any, bool) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, ok := result.Content[0].(*sdk.TextContent)
	if !ok {
		t.Fatalf("%s: content %T", name, result.Content[0])
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(text.Text), &answer); err != nil {
		t.Fatal(err)
	}
	return answer, result.IsError
}

// TestMCP drives /mcp with the client of the Go SDK: an API key sees the tools of its scopes, and nothing is executed before approval.
func TestMCP(t *testing.T) {
	k := newKeyring(t, relaxed())
	k.keys["weft_read"] = apiKey{id: actortest.User(), user: actortest.User(), scopes: subjects.ScopeIntegrationsRead}
	k.keys["weft_run"] = apiKey{
		id: actortest.User(), user: actortest.User(), scopes: subjects.ScopeIntegrationsRead + " " + subjects.ScopeIntegrationsExecute,
	}
	const connection, approval = "0190a000-0000-7000-8000-000000000001", "0190a000-0000-7000-8000-000000000002"
	var executed atomic.Int64
	k.actor(t, "integration",
		actors.Bind(subjects.SearchActions, func(context.Context, subjects.SearchActionsRequest) (subjects.ActionMatches, error) {
			return subjects.ActionMatches{Items: []subjects.ActionMatch{{Provider: "acme", Action: "send", Description: strings.Repeat("x", 300<<10)}}}, nil
		}),
		actors.Bind(subjects.GetUserIntegrations, func(context.Context, subjects.ListIntegrationsRequest) (subjects.Page[subjects.Connection], error) {
			return subjects.Page[subjects.Connection]{Items: []subjects.Connection{{ID: connection, Provider: "acme"}}}, nil
		}),
		actors.Bind(subjects.AuthorizeAgentAction, func(_ context.Context, r subjects.AuthorizeAgentActionRequest) (subjects.AgentAuthorization, error) {
			if r.ApprovalID == approval || r.ReadOnly {
				return subjects.AgentAuthorization{Decision: subjects.AgentAllow}, nil
			}
			return subjects.AgentAuthorization{Decision: subjects.AgentAsk, Approval: &subjects.AgentApproval{
				ID: approval, Client: r.Client, Operation: "acme." + r.Action, Input: json.RawMessage(`{}`), Status: subjects.AgentApprovalPending,
			}}, nil
		}),
		actors.Bind(subjects.ExecuteAction, func(_ context.Context, r subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
			executed.Add(1)
			if r.Action == "broken" {
				return subjects.ActionResult{}, subjects.Errorf(subjects.CodeProvider, "the provider refused")
			}
			return subjects.ActionResult{Output: json.RawMessage(`{"client":"` + r.Client + `"}`), CallID: "c"}, nil
		}))

	toolNames := func(session *sdk.ClientSession) (names []string) {
		list, err := session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
			if reads := tool.Name != "run_action" && tool.Name != "start_workflow"; tool.Annotations.ReadOnlyHint != reads || *tool.Annotations.DestructiveHint == reads {
				t.Errorf("%s: annotations %+v", tool.Name, tool.Annotations)
			}
		}
		return names
	}
	reader, runner := k.agent(t, "weft_read"), k.agent(t, "weft_run")
	if got := reader.InitializeResult().ProtocolVersion; got != "2026-07-28" {
		t.Errorf("protocol version %s", got)
	}
	if got := toolNames(reader); !slices.Equal(got, []string{"describe_action", "list_connections", "search_actions"}) {
		t.Errorf("tools of a key that reads: %q", got)
	}
	if got := toolNames(runner); !slices.Contains(got, "run_action") || slices.Contains(got, "start_workflow") {
		t.Errorf("tools of a key that runs actions: %q", got)
	}
	if _, err := reader.CallTool(t.Context(), &sdk.CallToolParams{Name: "run_action"}); err == nil {
		t.Error("a key without the scope called run_action")
	}
	if got, failed := use(t, reader, "list_connections", nil); failed || len(got["items"].([]any)) != 1 {
		t.Errorf("list_connections: %v", got)
	}
	if got, failed := use(t, reader, "search_actions", nil); !failed || got["code"] != string(subjects.CodeTooLarge) {
		t.Errorf("a result that is too large: %v", got["code"])
	}

	run := map[string]any{"integration_id": connection, "action": "send", "input": map[string]any{"text": "hi"}}
	if got, failed := use(t, runner, "run_action", run); failed || got["status"] != "approval_required" || got["approval_id"] != approval || executed.Load() != 0 {
		t.Errorf("without approval: %v, %d executed", got, executed.Load())
	}
	run["approval_id"] = approval
	if got, failed := use(t, runner, "run_action", run); failed || got["output"].(map[string]any)["client"] != "tester/7" || executed.Load() != 1 {
		t.Errorf("with approval: %v", got)
	}
	if got, failed := use(t, runner, "read_action", map[string]any{"integration_id": connection, "action": "broken"}); !failed || got["code"] != string(subjects.CodeProvider) {
		t.Errorf("a failing action: %v", got)
	}
	if got, failed := use(t, runner, "run_action", map[string]any{"integration_id": connection, "action": "send", "force": true}); !failed || got["code"] != string(subjects.CodeInvalid) {
		t.Errorf("an unknown argument: %v", got)
	}
	if got, failed := use(t, runner, "run_action", map[string]any{"integration_id": "x", "action": "send"}); !failed || got["code"] != string(subjects.CodeInvalid) {
		t.Errorf("a malformed id: %v", got)
	}
}

// TestMCPRefuses: who is anonymous, a page of an unknown origin, a batch and other methods get an answer as elsewhere.
func TestMCPRefuses(t *testing.T) {
	s := newKeyring(t, relaxed())
	s.keys["weft_agent"] = apiKey{id: actortest.User(), user: actortest.User(), scopes: subjects.ScopeIntegrationsRead}
	token := bearer("weft_agent")
	const types, accept, list = "Content-Type: application/json", "Accept: application/json, text/event-stream", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, test := range []struct {
		name, method, body string
		header             []string
		status             int
	}{
		{"anonymous", "POST", list, []string{types, accept}, 401},
		{"a session's token", "POST", list, []string{types, accept, bearer(s.Token(t, actortest.User()))}, 403},
		{"foreign origin", "POST", list, []string{types, accept, token, "Origin: https://evil.example"}, 403},
		{"this machine's origin", "POST", list, []string{types, accept, token, "Origin: http://localhost:6274"}, 200},
		{"2025-06-18", "POST", list, []string{types, accept, token, "MCP-Protocol-Version: 2025-06-18"}, 200},
		{"unknown version", "POST", list, []string{types, accept, token, "MCP-Protocol-Version: 1999-01-01"}, 400},
		{"batch", "POST", "[" + list + "]", []string{types, accept, token}, 400},
		{"too large", "POST", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 2<<20) + `"}`, []string{types, accept, token}, 413},
		{"stream", "GET", "", []string{accept, token}, 405},
		{"ending a session", "DELETE", "", []string{token}, 405},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := s.do(t, test.method, "/mcp", test.body, test.header...)
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d: %s", response.StatusCode, test.status, body)
			}
		})
	}
}
