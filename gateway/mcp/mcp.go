// Package mcp serves the Model Context Protocol (https://modelcontextprotocol.io/specification/2026-07-28) over Streamable HTTP, so that
// agents call weft. It is stateless: each POST is answered on its own, and no session exists. Older protocol versions are negotiated as
// the Go SDK does.
//
// The tools call the endpoints of package subjects with the caller's token, so that consent, limits and scopes hold as for any caller.
// A tool that is not a read asks the integration actor first, which decides by the user's agent policy.
package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/weftmesh/weft/subjects"
)

const (
	// maxAnswer bounds the JSON of a tool's result, in bytes.
	maxAnswer = 256 << 10
	// maxClient is the length in bytes to which the name of a client is cut.
	maxClient = 100
	// maxBody bounds a request as the SDK reads it. The gateway has applied its own bound before.
	maxBody = 16 << 20
)

// Caller is the caller of one request.
type Caller struct {
	// Call sends an encoded request to an endpoint with the caller's token and returns the encoded reply.
	Call func(ctx context.Context, d *subjects.Descriptor, request []byte) ([]byte, error)
	// May returns an error if the caller may not call the endpoint.
	May func(d *subjects.Descriptor) error
	// Problem renders an error.
	Problem func(error) subjects.Problem
	// UserAgent names the client if the protocol does not.
	UserAgent string
}

// Handler serves MCP requests. It is safe for concurrent use.
type Handler struct {
	version string
	http    *sdk.StreamableHTTPHandler
}

// serverKey is the key of the request's server in its context.
type serverKey struct{}

// New makes a handler. version is weft's.
func New(version string) *Handler {
	h := &Handler{version: version}
	h.http = sdk.NewStreamableHTTPHandler(func(r *http.Request) *sdk.Server {
		server, _ := r.Context().Value(serverKey{}).(*sdk.Server)
		return server
	}, &sdk.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxBody, PropagateRequestCancellation: true,
		// The gateway checks Origin. Host is of no use behind a proxy on the same machine, and a page has no token to send.
		DisableLocalhostProtection: true,
	})
	return h
}

// Serve answers a request of an authenticated caller. The caller sees the tools whose endpoints it may call.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, c Caller) {
	server := sdk.NewServer(&sdk.Implementation{Name: "weft", Title: "weft", Version: h.version}, &sdk.ServerOptions{
		Instructions: instructions,
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}},
	})
	for _, t := range tools {
		if c.mayUse(t) {
			server.AddTool(t.tool(), c.handler(t))
		}
	}
	h.http.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serverKey{}, server)))
}

const instructions = "weft runs actions at the services that its user has connected, and the user's workflows. Find an action with search_actions, " +
	"read its input schema with describe_action, choose a connection with list_connections, and call it with read_action or run_action. " +
	"If the answer's status is approval_required, tell the user where to approve, and afterwards repeat the same call with approval_id."

func (c Caller) mayUse(t tool) bool {
	for _, d := range t.uses {
		if c.May(d) != nil {
			return false
		}
	}
	return true
}

// handler returns the SDK's handler of a tool. Every failure is a tool error, whose structured content is the problem.
func (c Caller) handler(t tool) sdk.ToolHandler {
	return func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		result, err := t.run(ctx, call{Caller: c, client: c.clientOf(r)}, r.Params.Arguments)
		if err != nil {
			return c.failure(err)
		}
		data, err := subjects.Encode(result)
		if err != nil {
			return c.failure(fmt.Errorf("encoding the result of %s: %w", t.name, err))
		}
		if len(data) > maxAnswer {
			return c.failure(subjects.Errorf(subjects.CodeTooLarge, "the result has %d bytes, at most %d are returned: ask for less", len(data), maxAnswer))
		}
		return &sdk.CallToolResult{
			Content: []sdk.Content{&sdk.TextContent{Text: string(data)}}, StructuredContent: json.RawMessage(data),
		}, nil
	}
}

func (c Caller) failure(failed error) (*sdk.CallToolResult, error) {
	data, err := subjects.Encode(c.Problem(failed))
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	return &sdk.CallToolResult{
		IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: string(data)}}, StructuredContent: json.RawMessage(data),
	}, nil
}

// clientOf names the client's program: as the request says (since 2026-07-28 in _meta), or else as its User-Agent.
func (c Caller) clientOf(r *sdk.CallToolRequest) string {
	name := c.UserAgent
	if info, ok := r.Params.Meta[sdk.MetaKeyClientInfo].(map[string]any); ok {
		program, _ := info["name"].(string)
		version, _ := info["version"].(string)
		if program != "" {
			name = program
			if version != "" {
				name += "/" + version
			}
		}
	}
	return clip(name)
}

// clip cuts a text to maxClient bytes of printable UTF-8.
func clip(text string) string {
	clean := make([]rune, 0, min(len(text), maxClient))
	size := 0
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			continue
		}
		if size += len(string(r)); size > maxClient {
			break
		}
		clean = append(clean, r)
	}
	return string(clean)
}
