package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// TestNATSInitOfACluster writes a cluster's folders, reads the settings and certificates that it wrote, and adds a server.
func TestNATSInitOfACluster(t *testing.T) {
	dir, home := filepath.Join(t.TempDir(), "cluster"), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	const three = "a=127.0.0.1:4223/6223,b=127.0.0.1:4224/6224,c=127.0.0.1:4225/6225"
	got := weft(t, "", "nats-init", "--cluster", three, "--tls", "mutual", dir)
	for _, want := range []string{"with TLS", "nats-server -c " + filepath.Join(dir, "b", "nats.conf"), "weft migrate --config " + filepath.Join(dir, "weft.yaml"), "issued " + filepath.Join(dir, "c", "tls", "route.crt")} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("nats-init does not print %q: %+v", want, got)
		}
	}
	settings := filepath.Join(dir, "weft.yaml")
	if got := weft(t, "", "config", "--config", settings); got.code != 0 || !strings.Contains(got.stdout, "replicas: 3") || !strings.Contains(got.stdout, "tls://127.0.0.1:4223,tls://127.0.0.1:4224") {
		t.Errorf("config: %+v", got)
	}
	doctor := weft(t, "", "doctor", "tls", "--config", settings)
	if doctor.code != 0 || strings.Count(doctor.stdout, "ok ") != 2 || !strings.Contains(doctor.stdout, "weft cluster weft, valid until") {
		t.Errorf("doctor tls: %+v", doctor)
	}
	if got := weft(t, "", "nats-context", "--config", settings, "--keys", filepath.Join(dir, "keys")); got.code != 0 {
		t.Errorf("nats-context: %+v", got)
	}
	var context map[string]string
	text, err := os.ReadFile(filepath.Join(home, "nats", "context", "weft.json"))
	if err == nil {
		err = json.Unmarshal(text, &context)
	}
	if err != nil || context["ca"] != filepath.Join(dir, "keys", "ca.crt") || context["cert"] == "" || context["key"] == "" || !strings.HasPrefix(context["url"], "tls://") {
		t.Errorf("the context is %s, %v", text, err)
	}
	again := weft(t, "", "nats-init", "--cluster", three+",d=127.0.0.1:4226/6226", "--tls", "mutual", "--renew", dir)
	if again.code != 0 || strings.Count(again.stdout, "issued ") != 2 || !strings.Contains(again.stdout, "4 servers survive as many failures as 3") {
		t.Errorf("adding a server: %+v", again)
	}
	if got := weft(t, "", "nats-init", "--cluster", three, "--tls", "mutual", dir); got.code != 0 || !strings.Contains(got.stdout, filepath.Join(dir, "d")+" is the folder of a server that is not in --cluster") {
		t.Errorf("removing a server: %+v", got)
	}
	extension := weft(t, "", "extension", "enroll", "billing", "--server-dir", filepath.Join(dir, "a")+","+filepath.Join(dir, "b"), "--out", filepath.Join(t.TempDir(), "billing.nk"), "--config", settings)
	if users, err := embedded.LoadEnrolled(filepath.Join(dir, "b")); extension.code != 0 || err != nil || len(users) != 1 {
		t.Errorf("enrolling at two servers: %+v, %v, %v", extension, users, err)
	}
	apart := filepath.Join(t.TempDir(), "apart")
	if got := weft(t, "", "nats-init", "--cluster", "n1.example,n2.example,n3.example", "--path", "/etc/weft/nats", "--tls", "off", apart); got.code != 0 ||
		!strings.Contains(got.stdout, "can be read and changed on the way") || !strings.Contains(got.stdout, "nats-server -c /etc/weft/nats/nats.conf") {
		t.Errorf("without TLS: %+v", got)
	}
}

// TestCertificateFilesAreChecked has settings that name files which are missing, do not match, or are of another kind.
func TestCertificateFilesAreChecked(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	if got := weft(t, "", "nats-init", "--cluster", "a=127.0.0.1:4223/6223,b=127.0.0.1:4224/6224", "--tls", "mutual", dir); got.code != 0 {
		t.Fatal(got)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for want, tls := range map[string]string{
		"nats.tls.ca is \"/none\", which cannot be read":            "ca: /none",
		"which has no certificate in PEM":                           "ca: " + file("weft.yaml"),
		"which is not that of an authority":                         "ca: " + file("keys/client.crt"),
		"certificate and key do not match":                          "{cert: " + file("keys/client.crt") + ", key: " + file("a/tls/route.key") + "}",
		"nats.tls.key must be set if nats.tls.cert is":              "cert: " + file("keys/client.crt"),
		"nats.tls.listen_cert must be set if nats.tls.listen_key":   "listen_key: " + file("keys/client.key"),
		"nats.tls.listen_client_ca needs nats.tls.listen_cert":      "listen_client_ca: " + file("keys/ca.crt"),
		"the key cannot be read: no such file":                      "{listen_cert: " + file("a/tls/server.crt") + ", listen_key: /none}",
		"the certificate cannot be read: no such file or directory": "{listen_cert: /none, listen_key: " + file("a/tls/server.key") + "}",
	} {
		if !strings.HasPrefix(tls, "{") {
			tls = "{" + tls + "}"
		}
		if got := weft(t, "", "config", "--config", configFile(t, "nats: {tls: "+tls+"}\n")); got.code != exitUsage || !strings.Contains(got.stderr, want) || !strings.Contains(want, "must be set") && !strings.Contains(got.stderr, ":1: ") {
			t.Errorf("%s: %+v, want %q", tls, got, want)
		}
	}
	none := configFile(t, "data: "+t.TempDir()+"\n")
	if got := weft(t, "", "doctor", "tls", "--config", none); got.code != 0 || got.stdout != "No setting names a certificate file.\n" {
		t.Errorf("without files: %+v", got)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, "ca.crt"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := weft(t, "", "doctor", "tls", "--json", "--config", configFile(t, "nats: {keys: "+keys+"}\n")); got.code != exitFailure || !strings.Contains(got.stdout, `"status": "failed"`) {
		t.Errorf("a damaged file: %+v", got)
	}
	if files := natsTLS(defaultConfig().NATS.TLS, filepath.Join(dir, "a")); files != (mesh.TLSFiles{}) {
		t.Errorf("without files beside the keys: %+v", files)
	}
}
