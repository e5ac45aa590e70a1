package main

import (
	"os"
	"path/filepath"

	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// natsTLS returns the files of TLS with NATS: those of the settings, or else those that `weft nats-init --cluster` writes beside the keys.
func natsTLS(c settings.NATSTLSConfig, keys string) mesh.TLSFiles {
	files := mesh.TLSFiles{CA: c.CA, Cert: c.Cert, Key: c.Key}
	if files.CA == "" {
		files.CA = existing(keys, embedded.ClientCA)
	}
	if files.Cert == "" {
		files.Cert, files.Key = existing(keys, embedded.ClientCert), existing(keys, embedded.ClientKey)
		if files.Cert == "" || files.Key == "" {
			files.Cert, files.Key = "", ""
		}
	}
	return files
}

// existing returns the path of a file, or "" if there is none.
func existing(dir, name string) string {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// listenTLS returns the TLS of the embedded server.
func listenTLS(c settings.NATSTLSConfig) embedded.ServerTLS {
	return embedded.ServerTLS{Cert: absolute(c.ListenCert), Key: absolute(c.ListenKey), ClientCA: absolute(c.ListenClientCA)}
}

// absolute returns the absolute form of a path that is not empty.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
