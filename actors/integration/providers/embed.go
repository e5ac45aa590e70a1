// Package providers holds the manifests that weft ships: one YAML file is one provider, and the folder's
// listing is the list of providers. Package manifest says what a file may hold.
package providers

import "embed"

// FS holds every manifest of this folder.
//
//go:embed *.yaml
var FS embed.FS
