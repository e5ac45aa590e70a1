package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

// scryptWork is the work factor of the key that is derived from a passphrase: 2^17 iterations, which take 128 MiB.
const scryptWork = 17

// maxKeys bounds the decrypted keys in bytes.
const maxKeys = 64 << 20

// natsKeys and keysets are the folders in the encrypted part.
const (
	natsKeys = "nats/"
	keysets  = "keys/"
)

// PassphraseRecipient encrypts with a passphrase.
func PassphraseRecipient(passphrase string) (age.Recipient, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("using the passphrase: %w", err)
	}
	r.SetWorkFactor(scryptWork)
	return r, nil
}

// ParseRecipient parses a recipient of age: age1….
func ParseRecipient(text string) (age.Recipient, error) {
	list, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(list) != 1 {
		return nil, fmt.Errorf("%q is not a recipient of age, such as `age-keygen` prints", text)
	}
	return list[0], nil
}

// Identities returns what decrypts keys: identities of a file of age, or a passphrase; the empty string for none.
func Identities(file, passphrase string) ([]age.Identity, error) {
	if file != "" {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return nil, fmt.Errorf("reading the identity: %w", err)
		}
		list, err := age.ParseIdentities(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s is not a file of identities of age", file)
		}
		return list, nil
	}
	if passphrase == "" {
		return nil, nil
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("using the passphrase: %w", err)
	}
	return []age.Identity{identity}, nil
}

// KeyFiles returns the files to encrypt, by their name in the archive: the NATS users' seeds and public keys, the enrolled users, and
// the keysets. natsDir is the folder of a NATS server, as weft nats-init wrote it; seeds is that of the seeds if it is another one.
func KeyFiles(natsDir, seeds, keysetDir string) (map[string]string, error) {
	if seeds == "" {
		seeds = filepath.Join(natsDir, "keys")
	}
	files := map[string]string{}
	for prefix, pattern := range map[string]string{
		natsKeys + "keys/": filepath.Join(seeds, "*.nk"), keysets: filepath.Join(keysetDir, "*.keyset.json"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("there are no keys %s", pattern)
		}
		for _, file := range found {
			files[prefix+filepath.Base(file)] = file
		}
	}
	for name, file := range map[string]string{
		natsKeys + "keys/public.json": filepath.Join(seeds, "public.json"), natsKeys + "enrolled.json": filepath.Join(natsDir, "enrolled.json"),
	} {
		if _, err := os.Stat(file); err == nil {
			files[name] = file
		}
	}
	return files, nil
}

// encryptKeys writes the files as a tar, encrypted to the recipients: `age --decrypt keys.age | tar -t` lists them.
func encryptKeys(w io.Writer, files map[string]string, recipients []age.Recipient) error {
	encrypted, err := age.Encrypt(w, recipients...)
	if err != nil {
		return fmt.Errorf("encrypting the keys: %w", err)
	}
	out := tar.NewWriter(encrypted)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(filepath.Clean(files[name]))
		if err == nil {
			err = writeMember(out, name, time.Now(), data)
		}
		if err != nil {
			return fmt.Errorf("encrypting the keys: %w", err)
		}
	}
	if err := errors.Join(out.Close(), encrypted.Close()); err != nil {
		return fmt.Errorf("encrypting the keys: %w", err)
	}
	return nil
}

// decryptKeys returns the files that encryptKeys has written. The error is ErrSecret if the identities do not decrypt them.
func decryptKeys(r io.Reader, identities []age.Identity) (map[string][]byte, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: neither a passphrase nor an identity is given", ErrSecret)
	}
	plain, err := age.Decrypt(r, identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("%w: the passphrase or the identity is another one", ErrSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	files := map[string][]byte{}
	in := tar.NewReader(io.LimitReader(plain, maxKeys))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: reading the keys: %w", ErrDamaged, err)
		}
		name := header.Name
		if path.Clean(name) != name || !strings.HasPrefix(name, natsKeys) && !strings.HasPrefix(name, keysets) || strings.Contains(name, "..") {
			return nil, fmt.Errorf("%w: a key has the name %q", ErrDamaged, name)
		}
		if files[name], err = io.ReadAll(in); err != nil {
			return nil, fmt.Errorf("%w: reading the keys: %w", ErrDamaged, err)
		}
	}
}
