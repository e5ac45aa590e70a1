package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// serviceAccount is where Kubernetes mounts a pod's credentials.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// clusterSecrets names the Secrets that keysSecretsCommand creates; an empty name skips one.
type clusterSecrets struct {
	natsKeys, natsServer, keysets string
	// listen and monitor are addresses of the NATS server, store is its folder.
	listen, monitor, store string
}

func keysSecretsCommand() *cobra.Command {
	var s clusterSecrets
	cmd := &cobra.Command{
		Use:   "create-secrets",
		Short: "Create the Kubernetes Secrets of a release that do not exist",
		Long: "Runs in a pod whose service account may get and create Secrets. It creates the Secrets with the NATS users' keys, with the files of the " +
			"NATS server, and with the keysets that seal secrets at rest. A Secret that exists is kept; the server's files are derived from the " +
			"existing keys. The Helm chart runs it as a Job.",
		Example: "  weft keys create-secrets --nats-keys weft-nats-keys --nats-server weft-nats-server-0.1.0 --keysets weft-keysets",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.natsServer != "" && s.natsKeys == "" {
				return usageError{errors.New("--nats-server needs --nats-keys, from which the server's files are derived")}
			}
			client, err := newClusterClient(serviceAccount, os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
			if err != nil {
				return err
			}
			return s.create(cmd.Context(), client, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&s.natsKeys, "nats-keys", "", "Secret for the nkey seeds and public.json")
	cmd.Flags().StringVar(&s.natsServer, "nats-server", "", "Secret for nats.conf, local.conf, privileged.conf and routes.conf")
	cmd.Flags().StringVar(&s.keysets, "keysets", "", "Secret for the actors' keysets")
	cmd.Flags().StringVar(&s.listen, "listen", "0.0.0.0:4222", "address that the NATS server listens on")
	cmd.Flags().StringVar(&s.monitor, "monitor", "0.0.0.0:8222", "address of the NATS server's HTTP monitoring port")
	cmd.Flags().StringVar(&s.store, "store", "/jetstream", "JetStream's storage directory")
	return cmd
}

// create creates the Secrets that do not exist.
func (s clusterSecrets) create(ctx context.Context, client *clusterClient, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "weft-secrets-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.natsKeys != "" {
		if err := s.createNATS(ctx, client, dir, out); err != nil {
			return err
		}
	}
	if s.keysets == "" {
		return nil
	}
	_, found, err := client.secret(ctx, s.keysets)
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	if !found {
		for _, actor := range subjects.Actors() {
			file := filepath.Join(dir, actor+".keyset.json")
			if err := seal.CreateKeyset(file); err != nil {
				return fmt.Errorf("creating the keyset of %s: %w", actor, err)
			}
			if data[filepath.Base(file)], err = os.ReadFile(filepath.Clean(file)); err != nil {
				return fmt.Errorf("creating the keyset of %s: %w", actor, err)
			}
		}
	}
	return client.ensure(ctx, s.keysets, found, data, out)
}

// createNATS creates the Secrets of the NATS users and of the server. The server's files are derived from existing keys.
func (s clusterSecrets) createNATS(ctx context.Context, client *clusterClient, dir string, out io.Writer) error {
	existing, found, err := client.secret(ctx, s.natsKeys)
	if err != nil {
		return err
	}
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	for name, seed := range existing {
		if filepath.Ext(name) == ".nk" && filepath.Base(name) == name {
			if err := os.WriteFile(filepath.Join(keys, name), seed, 0o600); err != nil {
				return fmt.Errorf("writing %s: %w", name, err)
			}
		}
	}
	host, port, err := serverAddress(s.listen)
	if err != nil {
		return err
	}
	if _, err := embedded.Init(dir, embedded.Options{Host: host, Port: port, Store: s.store, Monitor: s.monitor}); err != nil {
		return fmt.Errorf("writing the NATS configuration: %w", err)
	}
	created, err := readFiles(keys, "*.nk", embedded.KeyringFile)
	if err != nil {
		return err
	}
	for name := range created {
		if _, known := existing[name]; found && !known {
			return fmt.Errorf("the Secret %s lacks %s, which this version needs: add what `weft nats-init` writes, or delete the Secret to replace all keys",
				s.natsKeys, name)
		}
	}
	if err := client.ensure(ctx, s.natsKeys, found, created, out); err != nil || s.natsServer == "" {
		return err
	}
	_, found, err = client.secret(ctx, s.natsServer)
	if err != nil {
		return err
	}
	files, err := readFiles(dir, "*.conf")
	if err != nil {
		return err
	}
	// The servers of the release authenticate one another with it.
	files["routes.conf"] = fmt.Appendf(nil, "authorization {\n  user: weft\n  password: %q\n}\n", rand.Text())
	return client.ensure(ctx, s.natsServer, found, files, out)
}

// readFiles reads the files of a folder whose names match one of the patterns.
func readFiles(dir string, patterns ...string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			data, err := os.ReadFile(filepath.Clean(path))
			if err != nil {
				return nil, err
			}
			files[filepath.Base(path)] = data
		}
	}
	return files, nil
}

// clusterClient reads and creates Secrets in the pod's namespace.
type clusterClient struct {
	http      *http.Client
	url       string
	token     string
	namespace string
}

// clusterTimeout bounds a request to Kubernetes, clusterAnswer the size of its answer.
const (
	clusterTimeout = 30 * time.Second
	clusterAnswer  = 4 << 20
)

// newClusterClient reads the credentials of a pod's service account from dir.
func newClusterClient(dir, host, port string) (*clusterClient, error) {
	if host == "" || port == "" {
		return nil, errors.New("this is not a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	var read [3]string
	for i, name := range []string{"ca.crt", "token", "namespace"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("reading the pod's service account: %w", err)
		}
		read[i] = strings.TrimSpace(string(data))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(read[0])) {
		return nil, errors.New("ca.crt of the pod's service account has no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &clusterClient{
		http: &http.Client{Transport: transport, Timeout: clusterTimeout}, token: read[1], namespace: read[2],
		url: "https://" + net.JoinHostPort(host, port) + "/api/v1/namespaces/" + url.PathEscape(read[2]) + "/secrets",
	}, nil
}

// clusterSecret is a Secret of Kubernetes. Its data are in Base64, as encoding/json writes them.
type clusterSecret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]any    `json:"metadata"`
	Type       string            `json:"type"`
	Data       map[string][]byte `json:"data"`
}

// secret returns the data of a Secret, and whether it exists.
func (c *clusterClient) secret(ctx context.Context, name string) (map[string][]byte, bool, error) {
	var s clusterSecret
	status, err := c.call(ctx, http.MethodGet, c.url+"/"+url.PathEscape(name), nil, &s)
	if status == http.StatusNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the Secret %s: %w", name, err)
	}
	return s.Data, true, nil
}

// ensure creates a Secret unless it was found. If another process has created it since, the error says so: what depends on it must be derived
// from that one.
func (c *clusterClient) ensure(ctx context.Context, name string, found bool, data map[string][]byte, out io.Writer) error {
	if found {
		_, err := fmt.Fprintf(out, "Secret %s exists\n", name)
		return err
	}
	body, err := json.Marshal(clusterSecret{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque", Data: data,
		Metadata: map[string]any{"name": name, "labels": map[string]string{"app.kubernetes.io/part-of": "weft"}},
	})
	if err != nil {
		return fmt.Errorf("encoding the Secret %s: %w", name, err)
	}
	if status, err := c.call(ctx, http.MethodPost, c.url, body, nil); err != nil {
		if status == http.StatusConflict {
			return fmt.Errorf("creating the Secret %s: another process has created it; run the command again", name)
		}
		return fmt.Errorf("creating the Secret %s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "Secret %s created\n", name)
	return err
}

// call sends a request to Kubernetes and decodes a successful answer. The error never quotes a request.
func (c *clusterClient) call(ctx context.Context, method, target string, body []byte, answer any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body)) //nolint:gosec // the address is the cluster's
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request) //nolint:gosec // the address is the cluster's
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	data, err := io.ReadAll(io.LimitReader(response.Body, clusterAnswer))
	if err != nil {
		return response.StatusCode, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		var problem struct{ Message string }
		_ = json.Unmarshal(data, &problem)
		return response.StatusCode, fmt.Errorf("kubernetes answers %s: %.300s", response.Status, problem.Message)
	}
	if answer == nil {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.Unmarshal(data, answer)
}
