package chart_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"gopkg.in/yaml.v3"
)

// kubernetesVersions are the releases whose schemas judge the chart.
var kubernetesVersions = []string{"v1.34.4", "v1.35.4", "v1.36.3"}

// customResources are modules with the definitions of the custom resources that the chart uses.
var customResources = map[string]string{
	"sigs.k8s.io/gateway-api@v1.4.0": "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
}

// schemaFolders makes the schemas of each version of Kubernetes once, and returns their folder.
var schemaFolders = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weft-chart-schemas-")
	if err != nil {
		return "", err
	}
	for _, version := range kubernetesVersions {
		module, err := download("k8s.io/kubernetes@" + version)
		if err != nil {
			return dir, err
		}
		document, err := os.ReadFile(filepath.Join(module, "api", "openapi-spec", "swagger.json"))
		if err == nil {
			err = writeSchemas(filepath.Join(dir, version), document)
		}
		if err == nil {
			err = writeCustomResources(filepath.Join(dir, version))
		}
		if err != nil {
			return dir, fmt.Errorf("the schemas of Kubernetes %s: %w", version, err)
		}
	}
	return dir, nil
})

// download fetches a module and returns its folder.
func download(module string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = os.TempDir()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("downloading %s: %w\n%s", module, err, out)
	}
	var found struct{ Dir string }
	return found.Dir, json.Unmarshal(out, &found)
}

// writeSchemas writes the schema of each kind in a document of Kubernetes' API to a file <kind>-<group>-<version>.json, with references
// inlined and unknown fields refused.
func writeSchemas(dir string, document []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var api struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(document, &api); err != nil {
		return err
	}
	for _, definition := range api.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue
		}
		kind := kinds[0].(map[string]any)
		name := strings.ToLower(kind["kind"].(string))
		if group := kind["group"].(string); group != "" {
			name += "-" + strings.Split(group, ".")[0]
		}
		schema, err := json.Marshal(inline(api.Definitions, definition, map[string]bool{}))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+"-"+kind["version"].(string)+".json"), schema, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inline replaces references by what they refer to, and refuses unknown fields where the fields are listed. A type within itself is anything.
func inline(definitions map[string]map[string]any, value any, within map[string]bool) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = inline(definitions, item, within)
		}
		return list
	case map[string]any:
		if reference, ok := v["$ref"].(string); ok {
			name := strings.TrimPrefix(reference, "#/definitions/")
			if within[name] {
				return map[string]any{}
			}
			switch name {
			case "io.k8s.apimachinery.pkg.util.intstr.IntOrString":
				return map[string]any{"type": []string{"string", "integer"}}
			case "io.k8s.apimachinery.pkg.api.resource.Quantity":
				return map[string]any{"type": []string{"string", "number"}}
			}
			inner := map[string]bool{name: true}
			for other := range within {
				inner[other] = true
			}
			return inline(definitions, definitions[name], inner)
		}
		copied := map[string]any{}
		for key, item := range v {
			copied[key] = inline(definitions, item, within)
		}
		if _, ok := v["properties"]; ok && v["additionalProperties"] == nil && v["type"] == "object" {
			copied["additionalProperties"] = false
		}
		return copied
	}
	return value
}

// writeCustomResources writes the schemas of custom resources.
func writeCustomResources(dir string) error {
	for module, file := range customResources {
		root, err := download(module)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return err
		}
		var definition struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(data, &definition); err != nil {
			return err
		}
		for _, version := range definition.Spec.Versions {
			schema, err := json.Marshal(inline(nil, version.Schema.OpenAPIV3Schema, nil))
			if err != nil {
				return err
			}
			name := strings.ToLower(definition.Spec.Names.Kind) + "-" + strings.Split(definition.Spec.Group, ".")[0] + "-" + version.Name + ".json"
			if err := os.WriteFile(filepath.Join(dir, name), schema, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// judges returns a validator for each version of Kubernetes.
func judges(t *testing.T) map[string]validator.Validator {
	t.Helper()
	dir, err := schemaFolders()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]validator.Validator{}
	for _, version := range kubernetesVersions {
		location := filepath.Join(dir, version, "{{.ResourceKind}}{{.KindSuffix}}.json")
		judge, err := validator.New([]string{location}, validator.Opts{Strict: true, KubernetesVersion: strings.TrimPrefix(version, "v")})
		if err != nil {
			t.Fatal(err)
		}
		list[version] = judge
	}
	return list
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := schemaFolders(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
