package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/mesh"
)

// Modes of Options.Sync.
const (
	// SyncAlways syncs every acknowledged write, so that none is lost on power failure.
	SyncAlways = "always"
	// SyncInterval syncs every ten seconds; writes since the last sync may be lost on power failure.
	SyncInterval = "interval"
)

// syncEvery is the interval of SyncInterval.
const syncEvery = "10s"

// maxPayload is the maximum payload of a message: 1 MiB.
const maxPayload = 1 << 20

// Files of a server's folder.
const (
	confFile  = "nats.conf"
	localFile = "local.conf"
	// privilegedFile is secret; KeyringFile, in the folder of keys, is not.
	privilegedFile = "privileged.conf"
	keyFolder      = "keys"
	KeyringFile    = "public.json"
	// portsFiles are written by the server: <program>_<process id>.ports.
	portsFiles = "*.ports"
)

// Options configures a server.
type Options struct {
	// Host is the address to listen on. Default: 127.0.0.1.
	Host string
	// Port is the port. 0 means 4222, a negative value a free port.
	Port int
	// Store is JetStream's folder. Default: <dir>/jetstream.
	Store string
	// Sync is SyncAlways or SyncInterval. Default: SyncAlways.
	Sync string
	// Monitor is the address of the HTTP monitoring port, such as 127.0.0.1:8222; empty disables it.
	Monitor string
	// Leaf is the address on which leaf connections of edge nodes are accepted, such as 0.0.0.0:7422; empty accepts none. With port -1 the
	// server picks a free one.
	Leaf string
	// Edge prepares the folder for StartEdge.
	Edge bool
	// TLS are the certificates for the connections of clients. Default: none, which leaves them unencrypted.
	TLS ServerTLS

	// clustered says that the folder has a file clusterFile.
	clustered bool
}

// Keys maps users to their public nkeys.
type Keys map[string]string

// Init writes a server's folder: nats.conf, local.conf from o, privileged.conf with mode 0600, a private nkey seed for each user in
// keys/<user>.nk with mode 0600, and the public keys of all in keys/public.json, which every process needs. Existing keys and enrolled
// users are kept; all other files are overwritten. Files are written atomically.
func Init(dir string, o Options) (Keys, error) {
	o, err := o.withDefaults(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, keyFolder), 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of keys: %w", err)
	}
	keys, tokens, err := ensureKeys(dir)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder: %w", err)
	}
	return keys, o.write(dir, absolute, keys, tokens)
}

// ensureKeys creates those users' keys that a folder lacks, writes the public keys of all, and returns them with the privileged tokens.
func ensureKeys(dir string) (keys Keys, tokens map[string]string, err error) {
	keys, tokens = Keys{}, map[string]string{}
	for _, user := range append(mesh.Users(), mesh.UserSystem) {
		public, token, err := ensureKey(keyPath(dir, user))
		if err != nil {
			return nil, nil, fmt.Errorf("creating the key of %s: %w", user, err)
		}
		keys[user], tokens[user] = public, token
	}
	ring, err := mesh.Keyring(keys).Encode()
	if err != nil {
		return nil, nil, err
	}
	if err := write(filepath.Join(dir, keyFolder, KeyringFile), ring, 0o644); err != nil {
		return nil, nil, fmt.Errorf("writing %s: %w", KeyringFile, err)
	}
	return keys, tokens, nil
}

// write writes the configuration of a server to dir. The server will find it at the absolute path at.
func (o Options) write(dir, at string, keys Keys, tokens map[string]string) error {
	if err := write(filepath.Join(dir, privilegedFile), []byte(mesh.RenderPrivileged(tokens, o.Edge)), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", privilegedFile, err)
	}
	if err := write(filepath.Join(dir, localFile), o.render(at, keys), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", localFile, err)
	}
	return writeConf(dir)
}

// LoadSeed reads a user's private nkey seed from a server's folder.
func LoadSeed(dir, user string) ([]byte, error) {
	seed, err := os.ReadFile(keyPath(dir, user))
	if err != nil {
		return nil, fmt.Errorf("reading the key of %s: %w", user, err)
	}
	return []byte(strings.TrimSpace(string(seed))), nil
}

// LoadKeyring reads the public keys of all users from a server's folder.
func LoadKeyring(dir string) (mesh.Keyring, error) {
	data, err := os.ReadFile(filepath.Join(dir, keyFolder, KeyringFile))
	if err != nil {
		return nil, fmt.Errorf("reading the public keys: %w", err)
	}
	return mesh.ParseKeyring(data)
}

func keyPath(dir, user string) string { return filepath.Join(dir, keyFolder, user+".nk") }

func (o Options) withDefaults(dir string) (Options, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Port == 0 {
		o.Port = 4222
	}
	if o.Store == "" {
		o.Store = filepath.Join(dir, "jetstream")
	}
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.Sync != SyncAlways && o.Sync != SyncInterval {
		return o, fmt.Errorf("sync %q is neither %s nor %s", o.Sync, SyncAlways, SyncInterval)
	}
	var err error
	if o.Store, err = filepath.Abs(o.Store); err != nil {
		return o, fmt.Errorf("finding JetStream's folder: %w", err)
	}
	return o, nil
}

// URL is the address at which local clients reach the server of a folder that Init has written; empty if there is no such folder, or if
// the server listens on a free port and has not run.
func URL(dir string) string {
	options, err := server.ProcessConfigFile(filepath.Join(dir, confFile))
	if err != nil {
		return ""
	}
	if options.Port <= 0 {
		return notedURL(dir)
	}
	scheme := "nats://"
	if options.TLSConfig != nil {
		scheme = "tls://"
	}
	host := options.Host
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(options.Port))
}

// notedURL returns the address that the server, or the latest of several, has noted in a ports file.
func notedURL(dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, portsFiles))
	if err != nil {
		return ""
	}
	var latest time.Time
	url := ""
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Before(latest) {
			continue
		}
		content, err := os.ReadFile(filepath.Clean(file))
		var ports server.Ports
		if err == nil && json.Unmarshal(content, &ports) == nil && len(ports.Nats) > 0 {
			latest, url = info.ModTime(), ports.Nats[0]
		}
	}
	return url
}

// removePortsFiles removes the ports files of servers that did not end in order.
func removePortsFiles(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, portsFiles))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// render renders local.conf. nats.conf must use every variable in it, because the server rejects unused ones.
func (o Options) render(dir string, keys Keys) []byte {
	sync := SyncAlways
	if o.Sync == SyncInterval {
		sync = syncEvery
	}
	var b strings.Builder
	b.WriteString("# Settings of this server for nats.conf. Written by weft at each start; it holds no secret.\n\n")
	fmt.Fprintf(&b, "WEFT_NATS_HOST: %s\n", quote(o.Host))
	fmt.Fprintf(&b, "WEFT_NATS_PORT: %d\n", max(o.Port, -1))
	fmt.Fprintf(&b, "WEFT_MAX_PAYLOAD: %d\n", maxPayload+mesh.HeaderRoom)
	fmt.Fprintf(&b, "WEFT_STORE_DIR: %s\n", quote(o.Store))
	fmt.Fprintf(&b, "WEFT_SYNC: %s\n\n", quote(sync))
	if o.Port < 0 {
		fmt.Fprintf(&b, "# The server notes the port that it gets in a file here.\nports_file_dir: %s\n\n", quote(dir))
	}
	if o.Monitor != "" {
		fmt.Fprintf(&b, "http: %s\n\n", quote(o.Monitor))
	}
	o.TLS.render(&b)
	if o.clustered {
		fmt.Fprintf(&b, "include ./%s\n\n", clusterFile)
	}
	if o.Leaf != "" {
		fmt.Fprintf(&b, "# Edge nodes do not see one another, and learn no other address of this server.\n"+
			"leafnodes {\n  listen: %s\n  no_advertise: true\n  isolate_leafnode_interest: true\n", quote(o.Leaf))
		ServerTLS{Cert: o.TLS.Cert, Key: o.TLS.Key}.render(&b) // edge nodes authenticate by their nkeys
		b.WriteString("}\n\n")
	}
	for _, user := range append(mesh.Users(), mesh.UserSystem) {
		fmt.Fprintf(&b, "%s: %s\n", mesh.KeyVariable(user), quote(keys[user]))
	}
	return []byte(b.String())
}

// quote quotes a string for the server's configuration language, whose escapes are a subset of Go's.
func quote(s string) string { return strconv.Quote(s) }

// ensureKey returns the public key and the privileged token of the seed in path, which it creates if there is none.
func ensureKey(path string) (public, token string, err error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed, err = makeKey(path)
	}
	if err != nil {
		return "", "", err
	}
	seed = []byte(strings.TrimSpace(string(seed)))
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", "", fmt.Errorf("reading %s: %w", path, err)
	}
	defer pair.Wipe()
	if public, err = pair.PublicKey(); err != nil {
		return "", "", err
	}
	token, err = mesh.PrivilegedToken(seed)
	return public, token, err
}

// makeKey writes a new seed to path and returns it.
func makeKey(path string) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	seed = append(bytes.Clone(seed), '\n') // wiping the pair wipes its own copy
	return seed, write(path, seed, 0o600)
}

// write replaces the file at path atomically and syncs file and folder.
func write(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}
