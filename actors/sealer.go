package actors

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer encrypts what is kept at rest with AES-256-GCM under a Tink keyset. A keyset may hold several keys: the primary
// one seals, all of them open, so a key is rotated by adding one (tinkey) and starting again. Safe for concurrent use.
type Sealer struct{ aead tink.AEAD }

// OpenSealer reads the keyset file at path (Tink's JSON, in clear) or, where there is none, makes one with a new key and
// mode 0600, on disk before it is used. A file that others can read is refused. Every copy of an actor that shares a
// database needs the same file; whoever loses it loses what was sealed.
func OpenSealer(path string) (*Sealer, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKeyset(path); err != nil {
			return nil, fmt.Errorf("creating keyset: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening keyset: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return nil, fmt.Errorf("opening keyset: %s may be read by others (mode %v, want 0600)", path, info.Mode().Perm())
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening keyset: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file)))
	if err != nil {
		return nil, fmt.Errorf("reading keyset %s: %w", path, err)
	}
	return NewSealer(handle)
}

// NewSealer seals with the AEAD keys of handle.
func NewSealer(handle *keyset.Handle) (*Sealer, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("using keyset: %w", err)
	}
	return &Sealer{aead: primitive}, nil
}

// Seal encrypts plain. associated is not stored: Open needs the same bytes, so that a sealed value moved to another row
// or column does not open there.
func (s *Sealer) Seal(plain, associated []byte) ([]byte, error) {
	sealed, err := s.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made with the same associated bytes. It fails on anything changed or moved.
func (s *Sealer) Open(sealed, associated []byte) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, fmt.Errorf("opening sealed value: %w", err)
	}
	return plain, nil
}

// createKeyset puts a new keyset at path, complete and synced, unless another process was first: then that one's stays.
func createKeyset(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(buf.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
