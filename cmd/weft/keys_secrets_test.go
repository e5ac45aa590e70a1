package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// kubernetesStub is the part of Kubernetes' API that creates and returns Secrets.
type kubernetesStub struct {
	mu      sync.Mutex
	secrets map[string]clusterSecret
}

func (k *kubernetesStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	refuse := func(status int, message string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"kind": "Status", "message": message})
	}
	name, list := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/apps/secrets")
	switch name = strings.TrimPrefix(name, "/"); {
	case r.Header.Get("Authorization") != "Bearer pod-token":
		refuse(http.StatusUnauthorized, "Unauthorized")
	case !list:
		refuse(http.StatusForbidden, "another namespace")
	case r.Method == http.MethodGet:
		secret, ok := k.secrets[name]
		if !ok {
			refuse(http.StatusNotFound, "not found")
			return
		}
		_ = json.NewEncoder(w).Encode(secret)
	case r.Method == http.MethodPost:
		var secret clusterSecret
		if err := json.NewDecoder(r.Body).Decode(&secret); err != nil {
			refuse(http.StatusBadRequest, err.Error())
			return
		}
		name, _ := secret.Metadata["name"].(string)
		if _, ok := k.secrets[name]; ok {
			refuse(http.StatusConflict, "already exists")
			return
		}
		k.secrets[name] = secret
		w.WriteHeader(http.StatusCreated)
	}
}

// startKubernetes returns a stub and a client of a pod in it.
func startKubernetes(t *testing.T) (*kubernetesStub, *clusterClient) {
	t.Helper()
	stub := &kubernetesStub{secrets: map[string]clusterSecret{}}
	api := httptest.NewTLSServer(stub)
	t.Cleanup(api.Close)
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), "token": []byte("pod-token\n"), "namespace": []byte("apps"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := newClusterClient(dir, host, port)
	if err != nil {
		t.Fatal(err)
	}
	return stub, client
}

// TestCreateSecrets creates the Secrets of a release, keeps them when run again, and makes a new version's server files for the same keys. A
// server runs with these files, and weft with these keys.
func TestCreateSecrets(t *testing.T) {
	t.Parallel()
	stub, client := startKubernetes(t)
	create := func(s clusterSecrets) string {
		t.Helper()
		var out bytes.Buffer
		if err := s.create(t.Context(), client, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	s := clusterSecrets{natsKeys: "k", natsServer: "s1", keysets: "z", listen: "127.0.0.1:0", store: filepath.Join(t.TempDir(), "store")}
	if out := create(s); strings.Count(out, "created") != 3 {
		t.Errorf("the first run prints %s", out)
	}
	first := stub.secrets["k"]
	if out := create(s); strings.Count(out, "exists") != 3 {
		t.Errorf("the second run prints %s", out)
	}
	s.natsServer = "s2"
	if out := create(s); strings.Count(out, "exists") != 2 {
		t.Errorf("a run of a new version prints %s", out)
	}
	if a, b := stub.secrets["s1"].Data, stub.secrets["s2"].Data; len(a["privileged.conf"]) == 0 || !bytes.Equal(a["privileged.conf"], b["privileged.conf"]) {
		t.Error("the server's files are of other keys")
	}
	if len(first.Data) != len(mesh.Users())+2 || len(stub.secrets["z"].Data) != len(subjects.Actors()) || stub.secrets["z"].Type != "Opaque" {
		t.Errorf("the Secrets have %d keys and %d keysets", len(first.Data), len(stub.secrets["z"].Data))
	}

	dir := t.TempDir()
	for name, data := range stub.secrets["s2"].Data {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "server.conf"), []byte("include ./nats.conf\nserver_name: a\ncluster {\n  name: c\n  port: -1\n  include ./routes.conf\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, err := server.ProcessConfigFile(filepath.Join(dir, "server.conf")); err != nil || o.Cluster.Username != "weft" || o.Cluster.Password == "" {
		t.Errorf("the files with a cluster: %v", err)
	}
	nats, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Shutdown()
	keyring, err := mesh.ParseKeyring(first.Data[embedded.KeyringFile])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: nats.ClientURL(), User: "auth", Seed: bytes.TrimSpace(first.Data["auth.nk"]), Keyring: keyring})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	delete(stub.secrets["k"].Data, "workflow.nk")
	s.natsServer = "s3"
	if err := s.create(t.Context(), client, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "lacks workflow.nk") {
		t.Errorf("with a key missing: %v", err)
	}
	client.token = "other"
	if err := s.create(t.Context(), client, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("without the right: %v", err)
	}
	if _, err := newClusterClient(t.TempDir(), "", ""); err == nil {
		t.Error("outside of a pod it runs")
	}
}
