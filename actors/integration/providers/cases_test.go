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

// providerCase is testdata/PROVIDER.yaml: how a provider is judged. One file says what the tests of a provider need, and the
// engine is the same for all of them.
type providerCase struct {
	// Description is where the vendor describes its API; without it there is none.
	Description *struct {
		// From holds the sources, in the order that build/specs numbers them: npm or git, and a file in it. `make specs` reads it.
		From []struct {
			NPM  string `json:"npm"`
			Git  string `json:"git"`
			File string `json:"file"`
		} `json:"from"`
		// Keep lists paths of the description, beside the manifest's own, that the cut keeps.
		Keep []string `json:"keep"`
		// Server stands in for the description's own, where that is another tenant's.
		Server string `json:"server"`
		// Beyond lists the actions that the slice beside the repository does not hold; the whole description does.
		Beyond []string `json:"beyond"`
		// Absent lists the actions that no description holds, with the reason.
		Absent map[string]string `json:"absent"`
		// Loose lists mutations that the description is too weak to catch, as action/what, with the reason.
		Loose map[string]string `json:"loose"`
	} `json:"description"`
	// Connection is what requests are made with.
	Connection struct {
		Auth        string         `json:"auth"`
		Settings    map[string]any `json:"settings"`
		Credentials map[string]any `json:"credentials"`
	} `json:"connection"`
	// Unused lists the fields, as action.field, that an example leaves out because others exclude them.
	Unused []string   `json:"unused"`
	Wire   []wireCase `json:"wire"`
	// Webhook is a delivery; without it the provider has none.
	Webhook *hookCase `json:"webhook"`
}

// wireCase is one call against a local server. What it does not name is not looked at, but for a request's query, which is
// compared as a whole.
type wireCase struct {
	// Action is health_probe for the probe. Input is the action's example where there is none.
	Action string         `json:"action"`
	Auth   string         `json:"auth"`
	Input  map[string]any `json:"input"`
	// Settings and Credentials stand in for the connection's.
	Settings    map[string]any `json:"settings"`
	Credentials map[string]any `json:"credentials"`
	// Before are the exchanges of the action's steps.
	Before []exchange `json:"before"`
	exchange
	Output any `json:"output"`
	// Next is the input's fields of the next page; an empty object means that there is none.
	Next  map[string]any `json:"next"`
	Error *struct {
		Class      string  `json:"class"`
		Code       *string `json:"code"`
		Message    *string `json:"message"`
		Expired    bool    `json:"expired"`
		RetryAfter string  `json:"retry_after"`
	} `json:"error"`
}

// exchange is a request with its answer. @vendor in an answer is the server's address.
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
		// Object is what the answer was kept as, where it is a file.
		Object map[string]any `json:"object"`
	} `json:"answer"`
}

// caseOf reads a provider's case; nil where it has none.
func caseOf(t *testing.T, provider string) *providerCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", provider+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
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

// connection is what a provider's requests are made with: its case's, and a text of some length for each secret that the case
// leaves out.
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

// fetched is a connection with the access token that its credentials would have got.
func fetched(p *manifest.Provider, conn manifest.Connection) manifest.Connection {
	method, ok := p.AuthMethod(conn.Auth)
	if !ok || !method.Fetches() {
		return conn
	}
	conn.Credentials = maps.Clone(conn.Credentials)
	conn.Credentials["access_token"] = "token-of-" + p.ID
	return conn
}

// aFile is the object that an input names, whatever its id: a picture that holds the text hello.
func aFile(string) (*manifest.Object, error) {
	const text = "hello"
	sum := sha256.Sum256([]byte(text))
	return &manifest.Object{
		Name: "ship.png", ContentType: "image/png", Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
		Open: func(context.Context) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) },
	}, nil
}

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
