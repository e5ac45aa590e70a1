package seal

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
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// readKeyset reads a keyset file. It refuses a file that other users may read.
func readKeyset(path string) (*keyset.Handle, fs.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("opening keyset: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("opening keyset: %w", err)
	}
	if info.Mode().Perm()&^allowedMode(info) != 0 && os.PathSeparator == '/' {
		return nil, nil, fmt.Errorf("opening keyset: %s is readable by other users (mode %v, want 0600, or 0640 if root owns it)", path, info.Mode().Perm())
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(file))
	if err != nil {
		return nil, nil, fmt.Errorf("reading keyset %s: %w", path, err)
	}
	return handle, info, nil
}

// CreateKeyset creates a keyset with a new key at path, complete and synced. One that exists, or that another process creates first, is kept.
func CreateKeyset(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeKeyset(path, handle, func(tmp string) error {
		if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// replaceKeyset replaces the keyset at path atomically.
func replaceKeyset(path string, handle *keyset.Handle) error {
	err := writeKeyset(path, handle, func(tmp string) error { return os.Rename(tmp, path) })
	if err != nil {
		return fmt.Errorf("replacing keyset %s: %w", path, err)
	}
	return nil
}

// writeKeyset writes a keyset to a temporary file in the directory of path, with mode 0600 and synced; place moves it to path.
func writeKeyset(path string, handle *keyset.Handle, place func(tmp string) error) error {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(buf.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := place(tmp.Name()); err != nil {
		return err
	}
	directory, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = directory.Close() }()
	return directory.Sync()
}

// keysetState has the ids of a keyset's keys, oldest first.
type keysetState struct {
	ids     []uint32
	primary uint32
}

// stateOf returns the state of a keyset. It refuses keys whose sealed values do not start with the key's id.
func stateOf(handle *keyset.Handle) (keysetState, error) {
	info := handle.KeysetInfo()
	state := keysetState{primary: info.GetPrimaryKeyId()}
	for _, key := range info.GetKeyInfo() {
		if key.GetOutputPrefixType() != tink_go_proto.OutputPrefixType_TINK {
			return state, fmt.Errorf("key %d cannot be rotated: its sealed values do not start with its id", key.GetKeyId())
		}
		state.ids = append(state.ids, key.GetKeyId())
	}
	return state, nil
}

func (s keysetState) newest() uint32 { return s.ids[len(s.ids)-1] }
