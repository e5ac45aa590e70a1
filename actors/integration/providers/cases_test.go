package providers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// providerCase is testdata/PROVIDER.yaml: everything that the tests of this package need to know of a provider.
type providerCase struct {
	// Description is the published OpenAPI or GraphQL description of the API; nil if there is none.
	Description *struct {
		// From lists the files of the description, which `make specs` fetches: a file of an npm package or a git repository.
		From []struct {
			NPM  string `json:"npm"`
			Git  string `json:"git"`
			File string `json:"file"`
		} `json:"from"`
		// Origin says whose work a description is that the provider does not publish itself.
		Origin string `json:"origin"`
		// Keep lists paths that the slice of the description contains in addition to the manifest's.
		Keep []string `json:"keep"`
		// Server replaces the servers of the description.
		Server string `json:"server"`
		// Beyond lists the actions that the slice for `make conformance` lacks, but the whole description has.
		Beyond []string `json:"beyond"`
		// Absent maps the actions that the description lacks to the reason.
		Absent map[string]string `json:"absent"`
		// Loose maps mutations (action/change) that the description does not reject to the reason.
		Loose map[string]string `json:"loose"`
	} `json:"description"`
	// Source says what the calls are based on, for a provider without a description.
	Source string `json:"source"`
	// TestedInGo means that a wire_*_test.go file tests the calls, so that Wire need not be complete.
	TestedInGo bool `json:"tested_in_go"`
	// Connection holds the connection's properties for all requests.
	Connection struct {
		Auth        string         `json:"auth"`
		Settings    map[string]any `json:"settings"`
		Credentials map[string]any `json:"credentials"`
	} `json:"connection"`
	// Scopes states what the tests of OAuth scopes cannot know.
	Scopes struct {
		// Include maps a scope to the scopes that it includes.
		Include map[string][]string `json:"include"`
		// NotRequested maps scopes of actions that are not requested by default to the reason.
		NotRequested map[string]string `json:"not_requested"`
	} `json:"scopes"`
	// Unused lists the fields (action.field) that examples omit because other fields exclude them.
	Unused []string `json:"unused"`
	// Wire lists calls with the expected requests and outputs.
	Wire []wireCase `json:"wire"`
	// Webhook is a delivery with the expected events.
	Webhook *hookCase `json:"webhook"`
	// NoWebhook is the reason for which a manifest has no webhook.
	NoWebhook string `json:"no_webhook"`
}

// wireCase is one call against a local server. Fields that are not set are not compared, except the query, which is always
// compared completely.
type wireCase struct {
	// Action is an action's id, or health_probe. The default of Input is the action's example.
	Action string         `json:"action"`
	Auth   string         `json:"auth"`
	Input  map[string]any `json:"input"`
	// Settings and Credentials replace those of the case's connection.
	Settings    map[string]any `json:"settings"`
	Credentials map[string]any `json:"credentials"`
	// Before lists the exchanges of the action's steps.
	Before []exchange `json:"before"`
	exchange
	Output any `json:"output"`
	// Next holds the fields of the next page's input. An empty object means that there is no next page.
	Next  map[string]any `json:"next"`
	Error *struct {
		Class      string  `json:"class"`
		Code       *string `json:"code"`
		Message    *string `json:"message"`
		Expired    bool    `json:"expired"`
		RetryAfter string  `json:"retry_after"`
	} `json:"error"`
}

// exchange is an expected request with its response. @server in a response is replaced by the address of the local server.
type exchange struct {
	Request *struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   map[string]any    `json:"query"`
		Headers map[string]string `json:"headers"`
		JSON    any               `json:"json"`
		Form    map[string]any    `json:"form"`
		Body    *string           `json:"body"`
	} `json:"request"`
	Answer struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		JSON    any               `json:"json"`
		Body    string            `json:"body"`
		// Object is the object in which the body is stored.
		Object map[string]any `json:"object"`
	} `json:"answer"`
}

// caseOf reads a provider's case; nil if there is none.
func caseOf(t *testing.T, provider string) *providerCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", provider+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return parseCase(t, provider, text)
}

// parseCase decodes a case. Unknown fields are errors.
func parseCase(t *testing.T, provider string, text []byte) *providerCase {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatalf("reading case of %s: %v", provider, err)
	}
	encoded, err := json.Marshal(tree)
	if err != nil {
		t.Fatalf("reading case of %s: %v", provider, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	c := &providerCase{}
	if err := decoder.Decode(c); err != nil {
		t.Fatalf("reading case of %s: %v", provider, err)
	}
	return c
}

// connection returns the connection of a provider's requests. Arguments that are not set default to those of the case, and
// required credentials default to secret-of-PROVIDER.
func (c *providerCase) connection(p *manifest.Provider, auth string, settings, credentials map[string]any) manifest.Connection {
	conn := manifest.Connection{Auth: auth, Settings: settings, Credentials: credentials}
	if conn.Auth == "" {
		conn.Auth = c.Connection.Auth
	}
	if conn.Settings == nil {
		conn.Settings = c.Connection.Settings
	}
	if conn.Credentials == nil && conn.Auth == c.Connection.Auth {
		conn.Credentials = c.Connection.Credentials
	}
	if conn.Credentials == nil {
		conn.Credentials = map[string]any{}
		method, _ := p.AuthMethod(conn.Auth)
		required, _ := method.Credentials["required"].([]any)
		for _, name := range required {
			conn.Credentials[name.(string)] = "secret-of-" + p.ID
		}
	}
	return conn
}

// withFetchedToken adds an access token to a connection whose authentication method fetches one.
func withFetchedToken(p *manifest.Provider, conn manifest.Connection) manifest.Connection {
	method, ok := p.AuthMethod(conn.Auth)
	if !ok || !method.Fetches() {
		return conn
	}
	conn.Credentials = maps.Clone(conn.Credentials)
	conn.Credentials["access_token"] = "token-of-" + p.ID
	return conn
}

// testObject returns an object with the content "hello" for every key.
func testObject(string) (*manifest.Object, error) {
	const text = "hello"
	sum := sha256.Sum256([]byte(text))
	return &manifest.Object{
		Name: "ship.png", ContentType: "image/png", Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
		Open: func(context.Context) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) },
	}, nil
}

// providerIDs returns the ids of all shipped manifests.
func providerIDs(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(providers.FS, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(file, ".yaml")
	}
	return files
}
