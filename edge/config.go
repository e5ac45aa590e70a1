package edge

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Config has the settings of an edge node.
type Config struct {
	// ContactEvery is the interval of contacts with the hub. A revocation at the hub takes effect at a connected edge node within it.
	ContactEvery time.Duration `koanf:"contact_every"`
	// OutboxMessages and OutboxBytes bound the outbox. A message past them is refused with unavailable, reason edge_outbox_full.
	OutboxMessages int64 `koanf:"outbox_messages"`
	OutboxBytes    int64 `koanf:"outbox_bytes"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{ContactEvery: 2 * time.Second, OutboxMessages: 2_000_000, OutboxBytes: 1 << 30}
}

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingBetween("edge.contact_every", c.ContactEvery, 100*time.Millisecond, time.Hour),
		mesh.SettingAtLeast("edge.outbox_messages", c.OutboxMessages, 1),
		mesh.SettingAtLeast("edge.outbox_bytes", c.OutboxBytes, 2<<20),
	)
}
