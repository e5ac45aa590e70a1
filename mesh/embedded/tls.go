package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
)

// ServerTLS are the files of a server's TLS for one kind of connections. All are PEM.
type ServerTLS struct {
	// Cert and Key are the server's certificate and its key. If they are empty, there is no TLS.
	Cert, Key string
	// ClientCA are the authorities of the certificates that clients must present; empty asks clients for none.
	ClientCA string
}

// render adds the block tls of a configuration.
func (t ServerTLS) render(b *strings.Builder) {
	if t.Cert == "" {
		return
	}
	fmt.Fprintf(b, "tls {\n  cert_file: %s\n  key_file: %s\n", quote(t.Cert), quote(t.Key))
	if t.ClientCA != "" {
		fmt.Fprintf(b, "  ca_file: %s\n  verify: true\n", quote(t.ClientCA))
	}
	b.WriteString("  timeout: 5\n}\n\n")
}

// watched returns the files that a folder's configuration is read from, nats.conf and the certificates.
func watched(dir string) []string {
	file := filepath.Join(dir, confFile)
	files := []string{file}
	settings, err := conf.ParseFile(file)
	if err != nil {
		return files
	}
	var find func(map[string]any)
	find = func(section map[string]any) {
		for name, value := range section {
			switch v := value.(type) {
			case map[string]any:
				find(v)
			case string:
				if strings.HasSuffix(name, "_file") {
					files = append(files, v)
				}
			}
		}
	}
	find(settings)
	return files
}

// version identifies the present contents of files.
func version(files []string) string {
	var b strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", file, info.ModTime().UnixNano(), info.Size())
		} else {
			fmt.Fprintf(&b, "%s is missing\n", file)
		}
	}
	return b.String()
}
