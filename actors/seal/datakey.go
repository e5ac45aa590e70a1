package seal

import (
	"bytes"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// NewDataKey makes a key for a single object and returns it also sealed, for a column of Rotation.Sealed. So rotation rewrites the
// key and not the object, and deleting the key makes the object unreadable.
func (s *Sealer) NewDataKey(associated []byte) (key *Sealer, sealed []byte, err error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("making a data key: %w", err)
	}
	var plain bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&plain)); err != nil {
		return nil, nil, fmt.Errorf("making a data key: %w", err)
	}
	if sealed, err = s.Seal(plain.Bytes(), associated); err != nil {
		return nil, nil, err
	}
	key, err = New(handle)
	return key, sealed, err
}

// OpenDataKey opens a key that NewDataKey sealed with the same associated data.
func (s *Sealer) OpenDataKey(sealed, associated []byte) (*Sealer, error) {
	plain, err := s.Open(sealed, associated)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(plain)))
	if err != nil {
		return nil, fmt.Errorf("reading a data key: %w", err)
	}
	return New(handle)
}
