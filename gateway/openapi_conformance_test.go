//go:build conformance

package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/gateway"
)

// The judges of the OpenAPI document, which npm and the Go module proxy have.
const (
	redocly    = "@redocly/cli@2.77.0"
	spectral   = "@stoplight/spectral-cli@6.16.3"
	heyAPI     = "@hey-api/openapi-ts@0.95.0"
	typescript = "typescript@5.9.3"
	oapiGen    = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
	oapiLib    = "github.com/oapi-codegen/runtime@v1.9.0"
	ogen       = "github.com/ogen-go/ogen/cmd/ogen@v1.25.0"
	oasdiff    = "github.com/oasdiff/oasdiff@v1.38.0"
)

// TestOpenAPISatisfiesLinters: the rules that Redocly recommends and Spectral's for OpenAPI find nothing, not even a warning.
func TestOpenAPISatisfiesLinters(t *testing.T) {
	dir := documentDir(t, map[string]string{".spectral.yaml": `extends: ["spectral:oas"]`, "redocly.yaml": `extends: ["recommended"]`})
	runIn(t, dir, "npm", "install", "--silent", "--no-audit", "--no-fund", redocly, spectral)
	if out := runIn(t, dir, "node_modules/.bin/redocly", "lint", "--format=json", "openapi.json"); !strings.Contains(out, `"errors": 0,`) ||
		!strings.Contains(out, `"warnings": 0,`) || !strings.Contains(out, `"ignored": 0`) {
		t.Errorf("Redocly: %.4000s", out)
	}
	runIn(t, dir, "node_modules/.bin/spectral", "lint", "--ruleset", ".spectral.yaml", "--fail-severity", "hint", "openapi.json")
}

// TestClientsAreGenerated: generators of clients accept the document with their defaults, and what they generate compiles.
func TestClientsAreGenerated(t *testing.T) {
	module := map[string]string{"go.mod": "module api\n\ngo 1.26.0\n", "api/doc.go": "package api\n"}
	t.Run("oapi-codegen", func(t *testing.T) {
		t.Parallel()
		dir := documentDir(t, module)
		runIn(t, dir, "go", "run", oapiGen, "-generate", "types,client", "-package", "api", "-o", "api/api.go", "openapi.json")
		runIn(t, dir, "go", "get", oapiLib)
		runIn(t, dir, "go", "vet", "./...")
	})
	t.Run("ogen", func(t *testing.T) {
		t.Parallel()
		dir := documentDir(t, module)
		out := runIn(t, dir, "go", "run", ogen, "--target", "api", "--package", "api", "--clean", "openapi.json")
		if strings.Contains(out, "Feature is not implemented yet") {
			t.Errorf("ogen leaves operations out: %.4000s", out)
		}
		runIn(t, dir, "go", "mod", "tidy")
		runIn(t, dir, "go", "build", "./...")
	})
	t.Run("hey-api", func(t *testing.T) {
		t.Parallel()
		dir := documentDir(t, map[string]string{"package.json": `{"type": "module"}`})
		runIn(t, dir, "npm", "install", "--silent", "--no-audit", "--no-fund", heyAPI, typescript)
		runIn(t, dir, "node_modules/.bin/openapi-ts", "-i", "openapi.json", "-o", "api", "-c", "@hey-api/client-fetch")
		runIn(t, dir, "node_modules/.bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler",
			"--lib", "es2022,dom,dom.iterable", "api/index.ts")
	})
}

// TestReleasedClientsKeepWorking: no change since the last release, a tag of git, breaks its clients by the rules of oasdiff. Before the first
// release only the judge itself is tried.
func TestReleasedClientsKeepWorking(t *testing.T) {
	dir := documentDir(t, nil)
	breaking := func(from, to string) (string, error) {
		c := exec.CommandContext(t.Context(), "go", "run", oasdiff, "breaking", "--fail-on", "ERR", from, to)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	var doc map[string]any
	text, err := os.ReadFile(filepath.Join(dir, "openapi.json"))
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(doc["paths"].(map[string]any), "/v1/auth/login")
	if text, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "less.json"), string(text))
	if out, err := breaking("openapi.json", "less.json"); err == nil || !strings.Contains(out, "/v1/auth/login") {
		t.Errorf("oasdiff does not see that an operation is missing: %v\n%s", err, out)
	}
	tag := strings.TrimSpace(runIn(t, ".", "git", "tag", "--list", "v*", "--sort=-version:refname"))
	if tag == "" {
		t.Log("there is no release yet")
		return
	}
	tag, _, _ = strings.Cut(tag, "\n")
	write(t, filepath.Join(dir, "released.json"), runIn(t, "..", "git", "show", tag+":docs/openapi.json"))
	if out, err := breaking("released.json", "openapi.json"); err != nil {
		t.Errorf("changes since %s that break its clients: %v\n%s", tag, err, out)
	}
}

// documentDir returns a new folder with openapi.json and further files.
func documentDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "openapi.json"), string(data))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o750)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runIn runs a program in a folder, which must succeed, and returns its output.
func runIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	if strings.Contains(name, "/") {
		name = filepath.Join(dir, name)
	}
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%.6000s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
