package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is the user and the group that weft runs as, as the Dockerfile has it.
const user = 65532

// imageInfo is what the labels of an image say.
type imageInfo struct {
	version, commit string
	at              time.Time
}

// entry is a file or, without content, a folder of a layer.
type entry struct {
	path    string
	mode    int64
	owner   int
	content []byte
}

// newImage assembles the image of a program: a layer with what rarely changes, and one with the program. Its configuration is that of
// deploy/Dockerfile.
func newImage(program string, platform v1.Platform, info imageInfo) (v1.Image, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	system, err := systemFiles()
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, part := range []struct {
		comment string
		entries []entry
	}{{"certificates, time zones and folders", system}, {"weft", []entry{{"weft", 0o755, 0, binary}}}} {
		layer, err := newLayer(part.entries, info.at)
		if err != nil {
			return nil, err
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer: layer, History: v1.History{Created: v1.Time{Time: info.at}, CreatedBy: "tools/image", Comment: part.comment},
		})
		if err != nil {
			return nil, err
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant, file.Created = platform.OS, platform.Architecture, platform.Variant, v1.Time{Time: info.at}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), WorkingDir: "/",
		Env:        []string{"PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "ZONEINFO=/zoneinfo.zip", "WEFT_DATA=/data", "WEFT_METRICS_HOST=0.0.0.0"},
		Entrypoint: []string{"/weft"}, Cmd: []string{"up", "--http", "0.0.0.0:8080"},
		Volumes: map[string]struct{}{"/data": {}},
		ExposedPorts: map[string]struct{}{
			"8080/tcp": {}, "9091/tcp": {}, "9092/tcp": {}, "9093/tcp": {}, "9094/tcp": {}, "9095/tcp": {}, "9096/tcp": {},
		},
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", "/weft", "health"}, Interval: 10 * time.Second, Timeout: 6 * time.Second, StartPeriod: 10 * time.Second, Retries: 3,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "weft",
			"org.opencontainers.image.description": "A self-hosted backend for integration and automation",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.source":      "https://github.com/weftmesh/weft",
			"org.opencontainers.image.version":     info.version,
			"org.opencontainers.image.revision":    info.commit,
			"org.opencontainers.image.created":     info.at.Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(image, file)
}

// systemFiles are the certificate authorities that Mozilla trusts, the time zones of the Go release, the names of the users, and the folders
// that weft writes to. A fresh volume takes its owner from the folder below it.
func systemFiles() ([]entry, error) {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // trusted for old certificates only, which a file of certificates cannot say
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the Go release: %w", err)
	}
	zones, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, fmt.Errorf("reading the time zones of the Go release: %w", err)
	}
	return []entry{
		{"data/", 0o700, user, nil},
		{"etc/", 0o755, 0, nil},
		{"etc/group", 0o644, 0, fmt.Appendf(nil, "root:x:0:\nweft:x:%d:\n", user)},
		{"etc/passwd", 0o644, 0, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nweft:x:%d:%d:weft:/data:/sbin/nologin\n", user, user)},
		{"etc/ssl/", 0o755, 0, nil},
		{"etc/ssl/certs/", 0o755, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, roots.Bytes()},
		{"nats/", 0o700, user, nil},
		{"tmp/", 0o1777, 0, nil},
		{"zoneinfo.zip", 0o644, 0, zones},
	}, nil
}

// newLayer makes a layer whose files have one time.
func newLayer(entries []entry, at time.Time) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		header := &tar.Header{
			Name: e.path, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.content)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		}
		if e.content == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}
