package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/subjects"
)

// Credentials are what `weft edge enroll` gives an edge node. They are secret.
type Credentials struct {
	// Name is the edge node's name.
	Name string `json:"name"`
	// Seed is the nkey seed that the hub has enrolled.
	Seed string `json:"seed"`
	// Issuer and Audience are those of the hub's access tokens.
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	// First is what the hub has granted and the edge mirrors at the enrolment; nil if the hub did not run then. With it the edge can start
	// without having reached the hub.
	First *State `json:"first,omitempty"`
}

// Check reports what is wrong with the credentials.
func (c Credentials) Check() error {
	if c.Name == "" || c.Issuer == "" || c.Audience == "" {
		return errors.New("name, issuer or audience is missing")
	}
	pair, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		return fmt.Errorf("the seed is not valid: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return errors.New("the seed is not that of a NATS user")
	}
	return nil
}

// LoadCredentials reads credentials from a file that nobody but its owner may read.
func LoadCredentials(path string) (c Credentials, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("reading the credentials: %w", err)
	}
	if !onlyOwner(info) {
		return c, fmt.Errorf("the credentials %s may be read by others: change the mode to 0600", path)
	}
	if err := readJSON(path, &c); err != nil {
		return c, fmt.Errorf("reading the credentials: %w", err)
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("the credentials %s: %w", path, err)
	}
	return c, nil
}

// State is what an edge node knows from its last contact with the hub.
type State struct {
	Grant Grant `json:"grant"`
	// Enrolment is what the edge is enrolled for.
	Enrolment subjects.Enrolment `json:"enrolment"`
	// Sections are the sections that the edge mirrors.
	Sections map[string]Section `json:"sections"`
}

// Section is a mirrored section of sync_edge.
type Section struct {
	Revision string              `json:"revision"`
	Items    []subjects.EdgeItem `json:"items"`
}

func readJSON(path string, value any) error {
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("decoding %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file atomically, with mode 0600, and syncs it.
func writeJSON(path string, value any) (err error) {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
