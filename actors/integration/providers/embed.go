// Package providers embeds the manifests that weft ships. Each *.yaml file is one provider; there is no other list of them.
// See package manifest for the format.
package providers

import "embed"

// FS contains the manifests.
//
//go:embed *.yaml
var FS embed.FS
