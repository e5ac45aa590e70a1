package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer encrypts what is kept at rest with AES-256-GCM under a Tink keyset. A keyset may hold several keys: the primary
// one seals, all of them open. A keyset file that has been replaced is read again before the next value is sealed, and
// where a value does not open, so that a key is rotated while weft runs (KeyRotation). Safe for concurrent use.
type Sealer struct {
	path string // "" where there is no file behind it
	mu   sync.Mutex
	keys atomic.Pointer[sealerKeys]
}

// sealerKeys are the keys of a keyset as it was read.
type sealerKeys struct {
	aead tink.AEAD
	file fs.FileInfo
}

// OpenSealer reads the keyset file at path (Tink's JSON, in clear) or, where there is none, makes one with a new key and
// mode 0600, on disk before it is used. A file that others can read is refused. Every copy of an actor that shares a
// database needs the same file; whoever loses it loses what was sealed.
func Open(path string) (*Sealer, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createKeyset(path); err != nil {
			return nil, fmt.Errorf("creating keyset: %w", err)
		}
	}
	s := &Sealer{path: path}
	return s, s.load()
}

// NewSealer seals with the AEAD keys of handle.
func New(handle *keyset.Handle) (*Sealer, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("using keyset: %w", err)
	}
	s := &Sealer{}
	s.keys.Store(&sealerKeys{aead: primitive})
	return s, nil
}

func (s *Sealer) load() error {
	handle, info, err := readKeyset(s.path)
	if err != nil {
		return err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("using keyset: %w", err)
	}
	s.keys.Store(&sealerKeys{aead: primitive, file: info})
	return nil
}

// current are the keys of the file as it is now. A file that cannot be read any more is an error, since it may say that a
// key is to seal nothing more; one that is gone says nothing.
func (s *Sealer) current() (*sealerKeys, error) {
	if s.path == "" || s.unchanged() {
		return s.keys.Load(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unchanged() {
		return s.keys.Load(), nil
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s.keys.Load(), nil
}

func (s *Sealer) unchanged() bool {
	info, err := os.Stat(s.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	had := s.keys.Load().file
	return os.SameFile(had, info) && had.ModTime().Equal(info.ModTime()) && had.Size() == info.Size() && had.Mode() == info.Mode()
}

// Seal encrypts plain. associated is not stored: Open needs the same bytes, so that a sealed value moved to another row
// or column does not open there.
func (s *Sealer) Seal(plain, associated []byte) ([]byte, error) {
	keys, err := s.current()
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	sealed, err := keys.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made with the same associated bytes. It fails on anything changed or moved.
func (s *Sealer) Open(sealed, associated []byte) ([]byte, error) {
	keys := s.keys.Load()
	plain, err := keys.aead.Decrypt(sealed, associated)
	if err != nil {
		// It may be sealed with a key that was added since.
		if newer, e := s.current(); e == nil && newer != keys {
			plain, err = newer.aead.Decrypt(sealed, associated)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening sealed value: %w", err)
	}
	return plain, nil
}

// sealedWith is the id of the key that a value is sealed with, which Tink puts before it.
func sealedWith(sealed []byte) (keyID uint32, ok bool) {
	const tinkPrefix = 1
	if len(sealed) < 5 || sealed[0] != tinkPrefix {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}
