package seal

import (
	"crypto/hmac"
	"crypto/sha256"
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

// ErrCannotOpen means that a value was changed or moved, or that the keyset does not have its key.
var ErrCannotOpen = errors.New("opening sealed value")

// Sealer encrypts values for storage with AES-256-GCM under a Tink keyset. The keyset's primary key seals, all its keys open. A
// keyset file that was replaced is read again before the next value is sealed, and when a value cannot be opened, so that a key can
// be rotated while weft runs (Rotation). It is safe for concurrent use.
type Sealer struct {
	path string // empty if there is no file
	mu   sync.Mutex
	keys atomic.Pointer[sealerKeys]
}

// sealerKeys are a keyset's keys with the file information at the time of reading.
type sealerKeys struct {
	aead tink.AEAD
	file fs.FileInfo
}

// Open reads the keyset file at path, which is Tink's unencrypted JSON. If it does not exist, Open creates it with a new key and mode
// 0600, synced before its first use. It refuses a file that other users can read. All copies of an actor that share a database need
// the same file. If the file is lost, sealed values cannot be opened again.
func Open(path string) (*Sealer, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := CreateKeyset(path); err != nil {
			return nil, fmt.Errorf("creating keyset: %w", err)
		}
	}
	s := &Sealer{path: path}
	return s, s.load()
}

// New returns a sealer with the AEAD keys of handle and without a file.
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

// current returns the keys of the file's present version. If the file exists and cannot be read it returns an error, because the key
// in memory may have been replaced; if the file was removed it returns the keys in memory.
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
	last := s.keys.Load().file
	return os.SameFile(last, info) && last.ModTime().Equal(info.ModTime()) && last.Size() == info.Size() && last.Mode() == info.Mode()
}

// Seal encrypts plain. associated is authenticated but not stored; Open needs the same bytes. If it identifies row and column, a
// sealed value that was moved to another place cannot be opened there.
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

// Open decrypts a value that Seal returned for the same associated bytes. It fails if either was changed.
func (s *Sealer) Open(sealed, associated []byte) ([]byte, error) {
	keys := s.keys.Load()
	plain, err := keys.aead.Decrypt(sealed, associated)
	if err != nil {
		// It may be sealed with a key that was added to the file after the last reading.
		if newer, e := s.current(); e == nil && newer != keys {
			plain, err = newer.aead.Decrypt(sealed, associated)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotOpen, err)
	}
	return plain, nil
}

// sealedWith returns the id of the key that sealed a value, from Tink's prefix.
func sealedWith(sealed []byte) (keyID uint32, ok bool) {
	const tinkPrefix = 1
	if len(sealed) < 5 || sealed[0] != tinkPrefix {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// MAC returns the HMAC-SHA-256 of a message: a hash that nobody without the key can compute.
func MAC(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
