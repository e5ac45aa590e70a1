package embedded_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

func TestParseMember(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]embedded.Member{
		"a":                              {Name: "a", Host: "a", ClientPort: 4222, RoutePort: 6222},
		"n1.example":                     {Name: "n1.example", Host: "n1.example", ClientPort: 4222, RoutePort: 6222},
		"a=10.0.0.1":                     {Name: "a", Host: "10.0.0.1", ClientPort: 4222, RoutePort: 6222},
		"a=10.0.0.1:4223":                {Name: "a", Host: "10.0.0.1", ClientPort: 4223, RoutePort: 6222},
		"a=127.0.0.1:4223/6223":          {Name: "a", Host: "127.0.0.1", ClientPort: 4223, RoutePort: 6223},
		"a=[2001:db8::1]:4223/6223":      {Name: "a", Host: "2001:db8::1", ClientPort: 4223, RoutePort: 6223},
		"a=[::1]":                        {Name: "a", Host: "::1", ClientPort: 4222, RoutePort: 6222},
		strings.Repeat("x", 63):          {Name: strings.Repeat("x", 63), Host: strings.Repeat("x", 63), ClientPort: 4222, RoutePort: 6222},
		"":                               {},
		"a=":                             {},
		"=a":                             {},
		"../a":                           {},
		"keys":                           {},
		"ca=10.0.0.1":                    {},
		"a=0.0.0.0":                      {},
		"a=[::1":                         {},
		"a=host:0":                       {},
		"a=host:4222/":                   {},
		"a=host:4222/70000":              {},
		"a=under_score":                  {},
		strings.Repeat("x", 64):          {},
		"[::1]":                          {},
		"a=b=c":                          {},
		"a=-host":                        {},
		"a=host:4222/6222/7222":          {},
		"a=" + strings.Repeat("x.", 200): {},
	} {
		got, err := embedded.ParseMember(text)
		if want == (embedded.Member{}) {
			if err == nil {
				t.Errorf("%q is accepted: %+v", text, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// members returns servers on free ports of the loopback interface.
func members(t *testing.T, names ...string) (list []embedded.Member) {
	t.Helper()
	port := func() int {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		return listener.Addr().(*net.TCPAddr).Port
	}
	for _, name := range names {
		list = append(list, embedded.Member{Name: name, Host: "127.0.0.1", ClientPort: port(), RoutePort: port()})
	}
	return list
}

func initCluster(t *testing.T, dir string, o embedded.ClusterOptions) embedded.ClusterFolder {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	o.Sync = embedded.SyncInterval
	c, err := embedded.InitCluster(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestInitCluster(t *testing.T) {
	t.Parallel()
	dir, three := t.TempDir(), members(t, "a", "b", "c")
	now := time.Now()
	first := initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSMutual, Now: now})
	if len(first.Issued) != 8 || len(first.Due) > 0 || !first.Encrypted || strings.Count(first.URL, "tls://127.0.0.1:") != 3 {
		t.Errorf("first: %+v", first)
	}
	for _, m := range three {
		o, err := server.ProcessConfigFile(filepath.Join(dir, m.Name, "nats.conf"))
		if err != nil {
			t.Fatal(err)
		}
		if o.ServerName != m.Name || o.Cluster.Name != "weft" || o.Cluster.Port != m.RoutePort || o.Port != m.ClientPort || len(o.Routes) != 3 ||
			o.TLSConfig == nil || o.Cluster.TLSConfig == nil || o.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert ||
			o.Cluster.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || len(o.Cluster.Password) != 64 {
			t.Errorf("%s: %+v", m.Name, o)
		}
		for _, secret := range []string{"cluster.conf", "privileged.conf", "tls/server.key", "tls/route.key", "../ca/ca.key", "../ca/routes.password", "../keys/client.key", "../keys/auth.nk"} {
			if info, err := os.Stat(filepath.Join(dir, m.Name, secret)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v", secret, info.Mode(), err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, m.Name, "keys")); err == nil {
			t.Errorf("%s has users' keys", m.Name)
		}
	}
	if _, _, err := embedded.Enroll(filepath.Join(dir, "b"), mesh.Enrolled{Kind: subjects.KindExtension, Name: "billing"}, now); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	kept := []string{"ca/ca.crt", "ca/ca.key", "ca/routes.password", "a/tls/server.crt", "a/tls/route.key", "keys/auth.nk", "keys/client.crt", "a/privileged.conf"}
	for _, file := range kept {
		before[file] = read(t, dir, file)
	}
	four := slices.Concat(three, members(t, "d"))
	added := initCluster(t, dir, embedded.ClusterOptions{Members: four, TLS: embedded.TLSMutual, Now: now.Add(time.Hour)})
	if len(added.Issued) != 2 || !strings.Contains(added.Issued[0], "/d/tls/") {
		t.Errorf("adding a server issued %v", added.Issued)
	}
	for _, file := range kept {
		if read(t, dir, file) != before[file] {
			t.Errorf("adding a server changed %s", file)
		}
	}
	for _, m := range four {
		if users, err := embedded.LoadEnrolled(filepath.Join(dir, m.Name)); err != nil || len(users) != 1 || !strings.Contains(read(t, dir, m.Name, "nats.conf"), users[0].Key) {
			t.Errorf("the enrolled users of %s are %v, %v", m.Name, users, err)
		}
	}
	later := now.Add(250 * 24 * time.Hour)
	if due := initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSMutual, Now: later}); len(due.Due) != 7 || len(due.Issued) > 0 || len(due.Left) != 1 || due.Left[0] != "d" {
		t.Errorf("after 250 days: %+v", due)
	}
	if renewed := initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSMutual, Now: later, Renew: true}); len(renewed.Due) > 0 || len(renewed.Issued) != 7 || read(t, dir, "ca/ca.crt") != before["ca/ca.crt"] {
		t.Errorf("renewed after 250 days: %+v", renewed)
	}
	end := now.Add(9 * 365 * 24 * time.Hour)
	if renewed := initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSMutual, Now: end, Renew: true}); len(renewed.Issued) != 8 || read(t, dir, "ca/ca.key") != before["ca/ca.key"] {
		t.Errorf("renewed after nine years: %+v", renewed)
	}
	moved := append([]embedded.Member{}, three...)
	moved[0].Host = "127.0.0.9"
	if again := initCluster(t, dir, embedded.ClusterOptions{Members: moved, TLS: embedded.TLSMutual, Now: end}); len(again.Issued) != 2 {
		t.Errorf("a server that has moved: %+v", again)
	}
}

func TestInitClusterRefuses(t *testing.T) {
	t.Parallel()
	three := members(t, "a", "b", "c")
	twice := append(members(t, "a"), members(t, "a")...)
	same := append([]embedded.Member{}, three...)
	same[1].ClientPort = same[0].RoutePort
	for want, o := range map[string]embedded.ClusterOptions{
		"2 to 16 servers":    {Members: three[:1]},
		"the name a":         {Members: twice},
		"the same address":   {Members: same},
		"not absolute":       {Members: three, Path: "nats"},
		"is none of":         {Members: three, TLS: "maybe"},
		"the cluster's name": {Members: three, Name: "two words"},
		"sync":               {Members: three, Sync: "sometimes"},
	} {
		o.Now = time.Now()
		if _, err := embedded.InitCluster(t.TempDir(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, file := range []string{"ca/ca.key", "ca/ca.crt", "ca/routes.password", "keys/auth.nk"} {
		dir := t.TempDir()
		initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSOn})
		if err := os.WriteFile(filepath.Join(dir, file), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := embedded.InitCluster(dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSOn, Now: time.Now()}); err == nil {
			t.Errorf("a damaged %s is accepted", file)
		}
	}
	loopback := initCluster(t, t.TempDir(), embedded.ClusterOptions{Members: three})
	if loopback.Encrypted || !strings.HasPrefix(loopback.URL, "nats://") {
		t.Errorf("servers on the loopback interface: %+v", loopback)
	}
	three[0].Host = "n1.example"
	if c := initCluster(t, t.TempDir(), embedded.ClusterOptions{Members: three}); !c.Encrypted {
		t.Errorf("servers on several machines: %+v", c)
	}
}

// clusterUser returns the options of a connection to a cluster as a user.
func clusterUser(t *testing.T, c embedded.ClusterFolder, user string) mesh.Options {
	t.Helper()
	seed, err := embedded.LoadSeed(c.Dir, user)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return mesh.Options{URL: c.URL, User: user, Seed: seed, Keyring: keyring, Wait: 20 * time.Second, TLS: mesh.TLSFiles{CA: filepath.Join(c.Keys, "ca.crt")}}
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestClusterWithTLS runs a cluster, which a fourth server joins. Servers without TLS, of another authority,
// with a certificate for another use, or without the password do not join. Clients without the authority do not connect. Replaced certificates
// are used without a restart.
func TestClusterWithTLS(t *testing.T) {
	t.Parallel()
	dir, three := t.TempDir(), members(t, "a", "b", "c")
	c := initCluster(t, dir, embedded.ClusterOptions{Members: three, TLS: embedded.TLSOn})
	for _, m := range three {
		start(t, filepath.Join(dir, m.Name))
	}
	options := clusterUser(t, c, mesh.UserMigrate)
	conn, err := mesh.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := mesh.AwaitJetStream(ctx, conn, func(string) {}); err != nil {
		t.Fatal(err)
	}
	checkStrangers(t, c, three)

	four := slices.Concat(three, members(t, "d"))
	initCluster(t, dir, embedded.ClusterOptions{Members: four, TLS: embedded.TLSOn})
	d := startMember(t, filepath.Join(dir, "d"))
	within(t, "the fourth server has routes to the three others, which were not restarted", func() bool { return d.NumRemotes() >= 3 })
	within(t, "the fourth server belongs to JetStream's cluster", d.JetStreamIsCurrent)

	serial := serialOf(t, c, three[0])
	for _, name := range []string{"server.crt", "server.key", "route.crt", "route.key"} {
		if err := os.Remove(filepath.Join(dir, "a", "tls", name)); err != nil {
			t.Fatal(err)
		}
	}
	initCluster(t, dir, embedded.ClusterOptions{Members: four, TLS: embedded.TLSOn})
	within(t, "new connections get the new certificate", func() bool { return serialOf(t, c, three[0]) != serial })
	if conn.Status().String() != "CONNECTED" {
		t.Errorf("the old connection is %s", conn.Status())
	}
}

// startMember runs the server of a folder without package embedded, and reports whether it was started.
func startMember(t *testing.T, dir string) *server.Server {
	t.Helper()
	o, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// serialOf returns the serial number of the certificate that a server presents to clients.
func serialOf(t *testing.T, c embedded.ClusterFolder, m embedded.Member) string {
	t.Helper()
	options := clusterUser(t, c, mesh.UserOperator)
	options.URL = fmt.Sprintf("tls://127.0.0.1:%d", m.ClientPort)
	conn, err := mesh.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state, err := conn.TLSConnectionState()
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].SerialNumber.String()
}

// checkStrangers checks that foreign servers and clients are refused.
func checkStrangers(t *testing.T, c embedded.ClusterFolder, three []embedded.Member) {
	t.Helper()
	strangers := map[string]*server.Server{}
	with := append(members(t, "stranger"), three...)
	copyFile := func(from, to string) {
		if err := os.WriteFile(to, []byte(read(t, from)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]string{"without TLS": embedded.TLSOff, "of another authority": embedded.TLSOn, "with the certificate of a server for clients": embedded.TLSOn, "without the password": embedded.TLSOn} {
		dir := t.TempDir()
		with[0] = members(t, "stranger")[0]
		own := filepath.Join(dir, "stranger")
		initCluster(t, dir, embedded.ClusterOptions{Members: with, TLS: mode})
		if name != "without the password" {
			copyFile(filepath.Join(c.Dir, "ca", "routes.password"), filepath.Join(dir, "ca", "routes.password"))
			initCluster(t, dir, embedded.ClusterOptions{Members: with, TLS: mode})
		}
		from := map[string]string{"with the certificate of a server for clients": "server", "without the password": "route"}[name]
		if from != "" {
			for _, suffix := range []string{".crt", ".key"} {
				copyFile(filepath.Join(c.Dir, "a", "tls", from+suffix), filepath.Join(own, "tls", "route"+suffix))
			}
			copyFile(filepath.Join(c.Keys, "ca.crt"), filepath.Join(own, "tls", "ca.crt"))
		}
		strangers[name] = startMember(t, own)
	}
	// The servers retry routes every second: one that is accepted is found before the fourth server has joined.
	for name, s := range strangers {
		within(t, "a stranger listens", func() bool { return s.ClusterAddr() != nil })
		t.Cleanup(func() {
			if routes := s.NumRemotes(); routes > 0 {
				t.Errorf("a server %s has joined %d servers", name, routes)
			}
		})
	}
	other := initCluster(t, t.TempDir(), embedded.ClusterOptions{Members: three, TLS: embedded.TLSOn})
	for name, ca := range map[string]string{"without an authority": "", "with another authority": filepath.Join(other.Keys, "ca.crt"), "without the file": "/none/ca.crt"} {
		options := clusterUser(t, c, mesh.UserOperator)
		options.TLS.CA = ca
		if _, err := mesh.Connect(t.Context(), options); !errors.Is(err, mesh.ErrTLS) {
			t.Errorf("a client %s: %v", name, err)
		}
	}
	unencrypted, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", three[0].ClientPort))
	if err != nil {
		t.Fatal(err)
	}
	defer unencrypted.Close()
	_ = unencrypted.SetDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 4096)
	n, _ := unencrypted.Read(buffer)
	if !strings.Contains(string(buffer[:n]), `"tls_required":true`) {
		t.Errorf("the server says %s", buffer[:n])
	}
	_, _ = unencrypted.Write([]byte("CONNECT {}\r\nPING\r\n"))
	if n, _ := unencrypted.Read(buffer); strings.HasPrefix(string(buffer[:n]), "PONG") {
		t.Error("a client without TLS is answered")
	}
}

// TestNoFallbackToPlaintext connects a client that has an authority to a server without TLS, and one without a certificate to a server that
// demands one.
func TestNoFallbackToPlaintext(t *testing.T) {
	t.Parallel()
	two := members(t, "a", "b")
	c := initCluster(t, t.TempDir(), embedded.ClusterOptions{Members: two, TLS: embedded.TLSMutual})
	plain := t.TempDir()
	initFolder(t, plain, embedded.Options{Port: -1})
	url := start(t, plain).ClientURL()
	options := clusterUser(t, c, mesh.UserOperator)
	options.URL = url
	if _, err := mesh.Connect(t.Context(), options); !errors.Is(err, mesh.ErrTLS) {
		t.Errorf("a server without TLS: %v", err)
	}
	demanding := t.TempDir()
	file := func(name string) string { return filepath.Join(c.Dir, "a", "tls", name) }
	initFolder(t, demanding, embedded.Options{Port: -1, TLS: embedded.ServerTLS{Cert: file("server.crt"), Key: file("server.key"), ClientCA: file("ca.crt")}})
	s := start(t, demanding)
	if !strings.HasPrefix(s.ClientURL(), "tls://") || !strings.HasPrefix(embedded.URL(demanding), "tls://") && embedded.URL(demanding) != "" {
		t.Errorf("the URL is %s", s.ClientURL())
	}
	seed, err := embedded.LoadSeed(demanding, mesh.UserMigrate)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(demanding)
	if err != nil {
		t.Fatal(err)
	}
	options = mesh.Options{URL: s.ClientURL(), User: mesh.UserMigrate, Seed: seed, Keyring: keyring, Wait: 10 * time.Second, Log: zap.NewNop()}
	options.TLS.CA = filepath.Join(c.Keys, "ca.crt")
	if _, err := mesh.Connect(t.Context(), options); !errors.Is(err, mesh.ErrTLS) {
		t.Errorf("a client without a certificate: %v", err)
	}
	options.TLS.Cert, options.TLS.Key = filepath.Join(c.Keys, "client.crt"), filepath.Join(c.Keys, "client.key")
	options.Seed, _ = embedded.LoadSeed(demanding, mesh.UserMigrate)
	conn, err := mesh.Connect(t.Context(), options)
	if err != nil {
		t.Fatalf("a client with a certificate: %v", err)
	}
	conn.Close()
	options.Seed, _ = embedded.LoadSeed(demanding, mesh.UserMigrate)
	options.InProcess, options.TLS = s, mesh.TLSFiles{}
	if conn, err = mesh.Connect(t.Context(), options); err != nil {
		t.Fatalf("a client in the server's process: %v", err)
	}
	conn.Close()
}
