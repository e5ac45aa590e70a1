package notification

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/seal"
)

// Names of the actor's own keys.
const (
	keyVAPID  = "vapid"
	keySecret = "secret"
)

// channelKeys are random keys that the actor makes when they are first needed, sealed in the table channel_keys. All copies of the actor
// share them. They never change: rotation seals them anew, and links in mail and subscriptions of browsers remain valid. It is safe for
// concurrent use.
type channelKeys struct {
	db     *database.DB
	sealer *seal.Sealer
	mu     sync.Mutex
	known  map[string][]byte
}

func newChannelKeys(d actors.Deps) *channelKeys {
	return &channelKeys{db: d.DB, sealer: d.Sealer, known: map[string][]byte{}}
}

// channelKeyContext is the associated data of a sealed key.
func channelKeyContext(name string) []byte { return []byte("channel_key|" + name) }

// get returns a key of 32 bytes, which generate makes where there is none. It must not be called in a transaction that has written.
func (k *channelKeys) get(ctx context.Context, name string, generate func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	known := k.known[name]
	k.mu.Unlock()
	if known != nil {
		return known, nil
	}
	fresh, err := generate()
	if err != nil {
		return nil, fmt.Errorf("making the key %s: %w", name, err)
	}
	sealed, err := k.sealer.Seal(fresh, channelKeyContext(name))
	if err != nil {
		return nil, err
	}
	row := channelKeyRow{Name: name, Sealed: base64.StdEncoding.EncodeToString(sealed)}
	err = k.db.RunInTx(k.db.Detached(ctx), func(ctx context.Context, tx database.Tx) error { return ensureChannelKey(ctx, tx, &row) })
	if err != nil {
		return nil, err
	}
	if sealed, err = base64.StdEncoding.DecodeString(row.Sealed); err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", name, err)
	}
	key, err := k.sealer.Open(sealed, channelKeyContext(name))
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[name] = key
	return key, nil
}

// vapid returns the keys by which push services know the installation.
func (k *channelKeys) vapid(ctx context.Context) (providers.VAPIDKeys, error) {
	private, err := k.get(ctx, keyVAPID, func() ([]byte, error) {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return key.Bytes(), nil
	})
	if err != nil {
		return providers.VAPIDKeys{}, err
	}
	return providers.VAPIDKeysOf(private)
}

// key returns the key for a purpose.
func (k *channelKeys) key(ctx context.Context, purpose string) ([]byte, error) {
	secret, err := k.get(ctx, keySecret, func() ([]byte, error) {
		secret := make([]byte, 32)
		_, err := rand.Read(secret)
		return secret, err
	})
	if err != nil {
		return nil, err
	}
	return seal.MAC(secret, purpose), nil
}

// mac returns the HMAC-SHA-256 of texts under the key for a purpose, in hexadecimal digits: what is stored in place of them. Nobody without
// the secret can test a guess.
func (k *channelKeys) mac(ctx context.Context, purpose string, texts ...string) (string, error) {
	key, err := k.key(ctx, purpose)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(seal.MAC(key, strings.Join(texts, "\n"))), nil
}

// addressHash returns the hash by which an e-mail address is looked up. The case of the local part does not matter: no server that matters
// tells addresses apart by it.
func (k *channelKeys) addressHash(ctx context.Context, address string) (string, error) {
	return k.mac(ctx, "address", strings.ToLower(strings.TrimSpace(address)))
}
