package chart_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"helm.sh/helm/v3/pkg/lint"
)

// split is the least that mode split needs.
const split = "mode: split\nsecrets: {environment: weft-environment}\n"

// matrix are values that users have; each is rendered for every release name.
var matrix = map[string]values{
	"defaults":            nil,
	"laptop":              {"values-laptop.yaml"},
	"production":          {"values-production.yaml"},
	"three zones":         {"values-production.yaml", "values-zones.yaml"},
	"split":               {split},
	"without a volume":    {"single: {persistence: {enabled: false}}"},
	"an existing volume":  {"single: {persistence: {existingClaim: mine}}"},
	"NATS elsewhere":      {split, "nats: {enabled: false, url: 'nats://a:4222,nats://b:4222'}\nsettings: {nats: {replicas: 3}}"},
	"existing Secrets":    {split, "secrets: {natsKeys: a, natsServer: b, keysets: c}"},
	"one Secret missing":  {split, "secrets: {natsKeys: a}"},
	"no Secrets created":  {split, "secrets: {create: false}"},
	"everything":          {"values-production.yaml", everything},
	"a digest":            {split, "image: {digest: 'sha256:" + strings.Repeat("a", 64) + "'}"},
	"names of one's own":  {split, "fullnameOverride: 1e3"},
	"another short name":  {split, "nameOverride: 'on'"},
	"settings":            {"settings: {auth: {access_ttl: 5m}, gateway: {limits: {enabled: false}}, egress: {allow: [10.0.0.0/8]}}"},
	"values of numbers":   {"image: {tag: 1.10}\nservice: {annotations: {a: '1e3', b: 'on'}}"},
	"autoscaling for all": {split, "defaults: {autoscaling: {enabled: true}}"},
}

const everything = `
imagePullSecrets: [{name: registry}]
env: [{name: WEFT_LOG_LEVEL, value: debug}]
envFrom: [{configMapRef: {name: more}}]
serviceAccount: {annotations: {example.com/role: weft}}
service: {type: LoadBalancer, annotations: {example.com/a: b}}
httpRoute: {enabled: true, parentRefs: [{name: public, namespace: gateways}], hostnames: [weft.example.com]}
networkPolicy:
  enabled: true
  ingressFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}}]
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
auth: {podAnnotations: {example.com/a: b}, podLabels: {team: a}, priorityClassName: high, nodeSelector: {disk: ssd}, tolerations: [{key: a, operator: Exists}]}
nats: {replicas: 5, persistence: {storageClassName: fast}, tolerations: [{key: a, operator: Exists}]}
extraObjects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-extra'}, data: {a: b}}
`

// releases are names that break charts: words and numbers of YAML, and the longest one.
var releases = []string{"weft", "n", "on", "1e3", "null", strings.Repeat("a", 53)}

func TestLint(t *testing.T) {
	for _, v := range []values{nil, {"values-production.yaml", everything}} {
		linter := lint.All(chartDir, v.merge(t), "weft", true)
		for _, message := range linter.Messages {
			if !strings.Contains(message.Error(), "icon is recommended") {
				t.Error(message)
			}
		}
	}
}

// TestObjectsAreValid judges every object by the schemas of Kubernetes, and by the rules of names.
func TestObjectsAreValid(t *testing.T) {
	list := judges(t)
	judged := map[string]bool{} // most objects are the same for many values
	for name, v := range matrix {
		for _, release := range releases {
			seen := map[string]bool{}
			for _, o := range objects(t, release, v) {
				id := o.kind() + "/" + o.name()
				if seen[id] {
					t.Errorf("%s, release %q: %s is rendered twice", name, release, id)
				}
				seen[id] = true
				checkName(t, o)
				if o.kind() == "ServiceMonitor" || judged[string(o.text)] {
					continue // a custom resource whose definition is in no module
				}
				judged[string(o.text)] = true
				for version, judge := range list {
					for _, result := range judge.Validate(o.template, io.NopCloser(bytes.NewReader(o.text))) {
						if result.Status != validator.Valid {
							t.Errorf("%s, release %q, Kubernetes %s: %s is not valid: %v\n%s", name, release, version, id, result.Err, o.text)
						}
					}
				}
			}
		}
	}
	t.Logf("%d objects judged by %d versions", len(judged), len(list))
}

// TestJudgesRefuse: the schemas refuse what is wrong, such as an unknown field.
func TestJudgesRefuse(t *testing.T) {
	for version, judge := range judges(t) {
		for _, wrong := range []string{
			"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {}, template: {spec: {containers: [{name: a, imag: b}]}}}}",
			"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: two, selector: {}, template: {}}}",
			"{apiVersion: v1, kind: Service, metadata: {name: a, labels: {a: 1}}}",
			"{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}}",
			"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {parents: []}}",
		} {
			for _, result := range judge.Validate("wrong.yaml", io.NopCloser(strings.NewReader(wrong))) {
				if result.Status == validator.Valid {
					t.Errorf("Kubernetes %s takes %s", version, wrong)
				}
			}
		}
	}
}

var (
	dnsLabel  = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`) // RFC 1035, for Services
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
)

// checkName applies rules of Kubernetes that are in no schema.
func checkName(t *testing.T, o object) {
	t.Helper()
	name := o.name()
	limit := 63
	if o.kind() == "StatefulSet" || o.kind() == "Job" {
		limit = 52 // the pods' label controller-revision-hash is the name and a hash; a Job's pods have a suffix
	}
	if len(name) > limit || !subdomain.MatchString(name) || o.kind() == "Service" && !dnsLabel.MatchString(name) {
		t.Errorf("%s has the name %q of %d characters", o.kind(), name, len(name))
	}
	labels, _ := at(o.value, "metadata", "labels").(map[string]any)
	for key, value := range labels {
		if s, ok := value.(string); !ok || len(s) > 63 {
			t.Errorf("%s/%s: the label %s is %v, no text of at most 63 characters", o.kind(), name, key, value)
		}
	}
}

// podSpecs returns the pods' specifications among the objects.
func podSpecs(list []object) map[string]any {
	found := map[string]any{}
	for _, o := range list {
		for _, path := range [][]any{{"spec", "template", "spec"}, {"spec"}} {
			if spec := at(o.value, path...); at(spec, "containers") != nil {
				found[o.kind()+"/"+o.name()] = spec
			}
		}
	}
	return found
}

// TestPodsAreRestricted checks what the Pod Security Standard "restricted" asks for, and that weft's pods hold no token of Kubernetes.
func TestPodsAreRestricted(t *testing.T) {
	for name, v := range matrix {
		for pod, spec := range podSpecs(objects(t, "weft", v)) {
			if at(spec, "securityContext", "runAsNonRoot") != true || text(spec, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
				t.Errorf("%s: %s has the security context %v", name, pod, at(spec, "securityContext"))
			}
			if token := at(spec, "automountServiceAccountToken"); token != strings.Contains(pod, "-secrets-") {
				t.Errorf("%s: %s mounts a token of Kubernetes: %v", name, pod, token)
			}
			containers, _ := at(spec, "containers").([]any)
			for _, c := range containers {
				context := at(c, "securityContext")
				if at(context, "readOnlyRootFilesystem") != true || at(context, "allowPrivilegeEscalation") != false || text(context, "capabilities", "drop", 0) != "ALL" {
					t.Errorf("%s: %s has the security context %v", name, pod, context)
				}
				if at(c, "resources", "requests") == nil || at(c, "resources", "limits", "memory") == nil {
					t.Errorf("%s: %s has the resources %v", name, pod, at(c, "resources"))
				}
			}
		}
	}
}

// TestSelectorsMatch checks that each Service, PodDisruptionBudget and Deployment selects pods of the release, and only those of its component.
func TestSelectorsMatch(t *testing.T) {
	list := objects(t, "weft", matrix["everything"])
	for _, o := range list {
		var selector any
		switch o.kind() {
		case "Service":
			selector = at(o.value, "spec", "selector")
		case "Deployment", "StatefulSet", "PodDisruptionBudget":
			selector = at(o.value, "spec", "selector", "matchLabels")
		default:
			continue
		}
		matching := 0
		for _, workload := range list {
			labels, _ := at(workload.value, "spec", "template", "metadata", "labels").(map[string]any)
			all := labels != nil && selector != nil
			wanted, _ := selector.(map[string]any)
			for key, value := range wanted {
				all = all && labels[key] == value
			}
			if all {
				matching++
			}
		}
		if matching != 1 {
			t.Errorf("%s/%s selects the pods of %d workloads", o.kind(), o.name(), matching)
		}
	}
}

// TestPodsRestartAfterChanges: a changed setting changes the pods' templates, and the Job of the migration is another one.
func TestPodsRestartAfterChanges(t *testing.T) {
	before := objects(t, "weft", values{split})
	after := objects(t, "weft", values{split, "settings: {auth: {access_ttl: 5m}}"})
	path := []any{"spec", "template", "metadata", "annotations", "checksum/settings"}
	if a, b := text(find(t, before, "Deployment", "weft-auth").value, path...), text(find(t, after, "Deployment", "weft-auth").value, path...); a == b || a == "" {
		t.Errorf("the annotation is %q before and %q after a change", a, b)
	}
	jobs := map[string]bool{}
	for _, list := range [][]object{before, after, objects(t, "weft", values{split, "image: {tag: '2'}"})} {
		for _, o := range list {
			if o.kind() == "Job" && strings.Contains(o.name(), "-migrate-") {
				jobs[o.name()] = true
			}
		}
	}
	if len(jobs) != 3 {
		t.Errorf("the jobs are %v, want three", jobs)
	}
	again := objects(t, "weft", values{split})
	for i, o := range before {
		if !bytes.Equal(o.text, again[i].text) {
			t.Errorf("%s/%s differs between two renderings", o.kind(), o.name())
		}
	}
}

// TestWrongValues: the schema names what is wrong.
func TestWrongValues(t *testing.T) {
	for given, want := range map[string]string{
		"mode: both":                                  "mode",
		"settings: {auth: {acces_ttl: 5m}}":           "acces_ttl",
		"settings: {auth: {access_ttl: soon}}":        "access_ttl",
		"settings: {auth: {access_ttl: 5}}":           "access_ttl",
		"settings: {database: {url: 'postgres://a'}}": "url",
		"nats: {replicas: 2}":                         "replicas",
		"replicaCount: 3":                             "replicaCount",
		"image: {digest: latest}":                     "digest",
		"auth: {replica: 1}":                          "replica",
		"terminationGracePeriodSeconds: 10":           "terminationGracePeriodSeconds",
		"mode: split":                                 "secrets.environment",
		split + "nats: {enabled: false}":              "nats.url",
		"ingress: {enabled: true}":                    "ingress.hosts",
		"httpRoute: {enabled: true}":                  "httpRoute.parentRefs",
	} {
		if _, err := render(t, "weft", values{given}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want an error that names %s", given, err, want)
		}
	}
}

// TestNoSecretIsRendered: nothing that the chart renders is a Secret, and it looks up nothing in the cluster.
func TestNoSecretIsRendered(t *testing.T) {
	for name, v := range matrix {
		for _, o := range objects(t, "weft", v) {
			if o.kind() == "Secret" {
				t.Errorf("%s: the Secret %s is rendered", name, o.name())
			}
		}
	}
	templates, err := filepath.Glob(chartDir + "/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range templates {
		if data, err := os.ReadFile(file); err == nil && regexp.MustCompile(`\blookup\b`).Match(data) {
			t.Errorf("%s uses lookup", file)
		}
	}
}

// TestWeftTakesWhatIsRendered runs weft with each file of settings, and asks it for the help of each command that a pod runs.
func TestWeftTakesWhatIsRendered(t *testing.T) {
	dir := t.TempDir()
	weft := filepath.Join(dir, "weft")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-ldflags", "-s -w", "-o", weft, "./cmd/weft")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building weft: %v\n%s", err, out)
	}
	asked := map[string]bool{}
	for name, v := range matrix {
		for i, o := range objects(t, "weft", v) {
			if settings, ok := at(o.value, "data", "weft.yaml").(string); ok {
				file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
				if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.CommandContext(t.Context(), weft, "config", "--config", file).CombinedOutput(); err != nil {
					t.Errorf("%s: weft config refuses\n%s%s", name, settings, out)
				}
			}
		}
		for pod, spec := range podSpecs(objects(t, "weft", v)) {
			list, _ := at(spec, "containers", 0, "args").([]any)
			var args []string
			for _, arg := range list {
				args = append(args, fmt.Sprint(arg))
			}
			if line := strings.Join(args, " "); asked[line] || text(spec, "containers", 0, "name") != "weft" {
				continue
			} else {
				asked[line] = true
			}
			if out, err := exec.CommandContext(t.Context(), weft, append(args, "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: %s runs %q: %s", name, pod, args, out)
			}
		}
	}
}
