//go:build conformance

package consent_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun/driver/sqliteshim"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The judges that others wrote.
const (
	torchwood = "filippo.io/torchwood@v0.6.1"
	tessera   = "github.com/transparency-dev/tessera@v1.0.4"
)

// foreign builds programs in a module of their own.
func foreign(t *testing.T, module string, sources map[string]string, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "go", "mod", "init", "judge")
	run(t, dir, "go", "get", module)
	if len(sources) > 0 {
		run(t, dir, "go", "mod", "tidy")
	}
	for _, p := range packages {
		run(t, dir, "go", "build", "-o", dir+"/", p)
	}
	return dir
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const fsckProgram = `package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	u, _ := url.Parse(os.Args[1])
	v, err := note.NewVerifier(os.Args[2])
	if err == nil {
		var f *client.HTTPFetcher
		if f, err = client.NewHTTPFetcher(u, http.DefaultClient); err == nil {
			err = fsck.New(v.Name(), v, f, func(bundle []byte) ([][]byte, error) {
				var b api.EntryBundle
				if err := b.UnmarshalText(bundle); err != nil {
					return nil, err
				}
				var hashes [][]byte
				for _, e := range b.Entries {
					hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
				}
				return hashes, nil
			}, fsck.Opts{N: 2}).Check(context.Background())
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
`

// startWitness runs litewitness, which takes its key from an ssh agent, and returns its verifier key and URL.
func startWitness(t *testing.T, dir, origin, key string) (vkey, address string) {
	t.Helper()
	socket := filepath.Join(dir, "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	db := filepath.Join(dir, "witness.db")
	listen := freeAddress(t)
	fingerprint := sha256.Sum256(public)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "litewitness"), "-key", hex.EncodeToString(fingerprint[:]), "-name", "witness.example/w1", "-db", db, "-ssh-agent", socket, "-listen", listen)
	cmd.Dir = dir
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if m := regexp.MustCompile(`msg="verifier key" vkey="?(\S+?)"?$`).FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	if vkey = <-found; vkey == "" {
		t.Fatal("litewitness has not started")
	}
	// witnessctl would add the log; one of its modules is not served everywhere.
	witness, err := sql.Open(sqliteshim.ShimName, "file:"+db)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	empty := sha256.Sum256(nil)
	for _, statement := range [][]any{
		{"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", origin, base64.StdEncoding.EncodeToString(empty[:])},
		{"INSERT INTO key (origin, key) VALUES (?, ?)", origin, key},
	} {
		if _, err := witness.ExecContext(t.Context(), statement[0].(string), statement[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	return vkey, "http://" + listen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startAllowing starts the actor with leave to call addresses of this machine.
func (f *fixture) startAllowing(t *testing.T) {
	t.Helper()
	f.host = f.mesh.Host(t, "consent", f.db, consent.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := consent.New(d, f.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile, c.EgressAllowHTTP = f.keyset, true
		c.EgressAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
}

// TestForeignJudgesOfTheLedger: Tessera's client and fsck accept the tiles and refuse a changed one; litewitness cosigns every checkpoint, which is
// served only then, and refuses a fork.
func TestForeignJudgesOfTheLedger(t *testing.T) {
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	key := strings.TrimSpace(string(call(t, f, subjects.LedgerKey, mesh.As{}, subjects.Empty{}).Body))
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := foreign(t, torchwood, nil, "filippo.io/torchwood/cmd/litewitness")
	vkey, address := startWitness(t, dir, verifier.Name(), key)
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var refusals atomic.Int64 // of a tree that is not the log's
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.StatusCode == http.StatusUnprocessableEntity {
			refusals.Add(1)
		}
		return nil
	}
	witness := httptest.NewServer(proxy)
	defer witness.Close()
	f.stop(t)
	f.config.Ledger.Witnesses, f.config.Ledger.Quorum = []string{vkey + " " + witness.URL}, 1
	f.startAllowing(t)

	as := f.user(t, actortest.User())
	for range 150 {
		call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
	}
	const entries = 299
	cosigner, err := ledger.NewCosigner(vkey)
	if err != nil {
		t.Fatal(err)
	}
	published := f.published(t)
	published.Witnesses, published.Quorum = []note.Verifier{cosigner}, 1
	var v ledger.Verified
	actortest.Eventually(t, "a cosigned checkpoint of all entries", func() bool {
		v, err = published.Verify()
		return err == nil && v.Tree.N == entries
	})
	checkpoint := call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body

	changed := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := f.published(t).Read(strings.TrimPrefix(r.URL.Path, "/"))
		if errors.Is(err, fs.ErrNotExist) {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path == changed {
			data = append([]byte(nil), data...)
			data[len(data)/2] ^= 1
		}
		_, _ = w.Write(data)
	}))
	defer server.Close()
	judge := foreign(t, tessera, map[string]string{"main.go": fsckProgram}, ".")
	run(t, judge, "./judge", server.URL+"/", key)
	for _, changed = range []string{"/tile/0/000", "/tile/entries/001.p/43", "/tile/1/000.p/1"} {
		if err := exec.CommandContext(context.Background(), filepath.Join(judge, "judge"), server.URL+"/", key).Run(); err == nil {
			t.Errorf("fsck accepts a changed %s", changed)
		}
	}

	// A tree without the first entry is another tree, of the same log.
	f.stop(t)
	actortest.Exec(t, f.db, "DELETE FROM ledger_leaves")
	actortest.Exec(t, f.db, "DELETE FROM ledger_tiles")
	actortest.Exec(t, f.db, "UPDATE ledger_state SET size = 0, sequence = 1")
	f.startAllowing(t)
	call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
	actortest.Eventually(t, "the witness refuses the fork", func() bool { return refusals.Load() > 0 })
	if now := call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body; !bytes.Equal(now, checkpoint) {
		t.Errorf("a checkpoint of the fork is served:\n%s\nbefore:\n%s", now, checkpoint)
	}
}
