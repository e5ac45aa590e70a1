//go:build conformance && linux

package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// imageUser is the user and the group that the image runs as.
const imageUser = 65532

// TestImage builds the container image of this machine's platform twice, which gives the same bytes, and runs it from its unpacked root as an
// ordinary user: weft is ready there, and knows certificates and time zones.
func TestImage(t *testing.T) {
	out, again := t.TempDir(), t.TempDir()
	first, second := buildImage(t, out), buildImage(t, again)
	if first != second {
		t.Fatalf("two builds differ:\n%s%s", first, second)
	}
	archive := "weft-linux-" + runtime.GOARCH + ".tar"
	a, err := os.ReadFile(filepath.Join(out, archive))
	b, bad := os.ReadFile(filepath.Join(again, archive))
	if err := errors.Join(err, bad); err != nil || !bytes.Equal(a, b) {
		t.Fatalf("the archives of two builds differ: %v", err)
	}
	root, config := unpackImage(t, a)
	if config.Config.User != "65532:65532" || config.Config.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("the configuration of the image is %+v", config)
	}

	// A user without the right to change its root does so in a user namespace of its own.
	attributes := &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: imageUser, Gid: imageUser}
	} else {
		attributes.Cloneflags = syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	weft, err := start(program{
		name: "image", path: config.Config.Entrypoint[0], args: []string{"up", "--json", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0"},
		env: append(slices.Clone(config.Config.Env), "WEFT_METRICS_PORT=0"), attributes: attributes,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := weft.stop(); err != nil {
			t.Error(err)
		}
	})
	response, err := http.Get(weft.ready.HTTP + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || weft.ready.Data != "/data" {
		t.Errorf("/readyz answers %s, the data are in %s", response.Status, weft.ready.Data)
	}
	for _, file := range []string{"etc/ssl/certs/ca-certificates.crt", "zoneinfo.zip", "etc/passwd"} {
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// buildImage builds the image for this machine's platform into a folder and returns the digests that the command prints.
func buildImage(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../tools", "run", "./image", "--repo", "..", "--out", dir, "--tag", "weft:test", "--version", "1.2.3",
		"--platforms", "linux/"+runtime.GOARCH)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("building the image: %v", err)
	}
	return strings.ReplaceAll(string(printed), dir, "")
}

// imageConfig is what a test reads of an image's configuration.
type imageConfig struct {
	Config struct {
		User            string
		Env, Entrypoint []string
		Labels          map[string]string
	} `json:"config"`
}

// unpackImage unpacks the layers of an archive for `docker load` and returns their root and the configuration.
func unpackImage(t *testing.T, archive []byte) (root string, config imageConfig) {
	t.Helper()
	files := map[string][]byte{}
	eachEntry(t, bytes.NewReader(archive), func(h *tar.Header, r io.Reader) {
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = data
	})
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("the archive's manifest is %s: %v", files["manifest.json"], err)
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range manifest[0].Layers {
		layer, err := gzip.NewReader(bytes.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		eachEntry(t, layer, func(h *tar.Header, r io.Reader) { unpackEntry(t, root, h, r) })
	}
	return root, config
}

func eachEntry(t *testing.T, r io.Reader, f func(*tar.Header, io.Reader)) {
	t.Helper()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f(h, archive)
	}
}

func unpackEntry(t *testing.T, root string, h *tar.Header, r io.Reader) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(h.Name))
	var err error
	if h.Typeflag == tar.TypeDir {
		err = os.Mkdir(path, 0o755)
	} else {
		var data []byte
		if data, err = io.ReadAll(r); err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
	}
	if err == nil && os.Geteuid() == 0 {
		err = os.Chown(path, h.Uid, h.Gid)
	}
	if err == nil {
		err = os.Chmod(path, h.FileInfo().Mode())
	}
	if err != nil {
		t.Fatal(err)
	}
}
