package notification

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
)

// mailKey is the id of the row of the secret, and the context that it is sealed in.
const mailKey = "mail"

func mailKeyContext(id string) []byte { return []byte("mail_key|" + id) }

// mailKeys make tokens for mail and hashes of addresses. Their secret is made once, when it is first needed, and never changes: rotation
// seals it anew and links in mail remain valid.
type mailKeys struct {
	db     *database.DB
	store  store
	sealer *seal.Sealer

	mu     sync.Mutex
	secret []byte
}

// key returns the key for a purpose.
func (k *mailKeys) key(ctx context.Context, purpose string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		secret, err := k.load(ctx)
		if err != nil {
			return nil, err
		}
		k.secret = secret
	}
	return seal.MAC(k.secret, purpose), nil
}

// load reads the secret, and makes one if there is none. Of two processes that make one at the same time, the first wins.
func (k *mailKeys) load(ctx context.Context) ([]byte, error) {
	sealed, err := k.store.mailSecret(ctx, mailKey)
	if err != nil {
		return nil, err
	}
	if sealed == "" {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh)
		made, err := k.sealer.Seal(fresh, mailKeyContext(mailKey))
		if err != nil {
			return nil, err
		}
		err = k.db.RunDetached(ctx, func(ctx context.Context, tx database.Tx) error {
			if err := k.store.insertMailSecret(ctx, tx, mailKey, base64.StdEncoding.EncodeToString(made)); err != nil {
				return err
			}
			sealed, err = k.store.mailSecret(ctx, mailKey)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	decoded, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("reading the secret of mail: %w", err)
	}
	return k.sealer.Open(decoded, mailKeyContext(mailKey))
}

// addressHash returns the hash by which an address is looked up. Nobody without the secret can test a guess. The case of the local part
// does not matter: no server that matters tells addresses apart by it.
func (k *mailKeys) addressHash(ctx context.Context, address string) (string, error) {
	key, err := k.key(ctx, "address")
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(seal.MAC(key, strings.ToLower(strings.TrimSpace(address)))), nil
}
