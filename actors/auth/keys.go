package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// States of a signing key. A key is published as next long before it signs, and as retired until the last access token
// that it signed has expired.
const (
	keyNext    = "next"
	keyCurrent = "current"
	keyRetired = "retired"
)

// retiredMargin is the time by which a retired key outlives the access tokens that it signed.
const retiredMargin = time.Hour

// keyring signs access tokens. Its keys are rows that all copies of the actor share; the private keys are sealed. A key
// is published in the bucket auth_keys before it signs.
type keyring struct {
	db        *database.DB
	sealer    *seal.Sealer
	published *kv.Bucket[subjects.SigningKey]
	now       func() time.Time
	newID     func() string
	retention time.Duration

	mu      sync.RWMutex
	keyID   string
	private ed25519.PrivateKey
	public  []subjects.SigningKey
}

// openKeyring opens the bucket of public keys and loads the keys. retention is the lifetime of access tokens.
func openKeyring(ctx context.Context, deps actors.Deps, retention time.Duration) (*keyring, error) {
	k := &keyring{db: deps.DB, sealer: deps.Sealer, now: deps.Now, newID: deps.NewID, retention: retention}
	var err error
	if k.published, err = kv.Open[subjects.SigningKey](ctx, deps.Conn.JS, kv.AuthKeys); err != nil {
		return nil, err
	}
	return k, k.load(ctx)
}

// sign returns an access token with the claims, signed with the current key.
func (k *keyring) sign(claims mesh.Claims) (string, error) {
	k.mu.RLock()
	keyID, private := k.keyID, k.private
	k.mu.RUnlock()
	return mesh.SignToken(claims, keyID, private)
}

// jwks returns the public keys as a JWK Set (RFC 7517 §5).
func (k *keyring) jwks() subjects.JSONWebKeySet {
	k.mu.RLock()
	defer k.mu.RUnlock()
	set := subjects.JSONWebKeySet{Keys: make([]subjects.JSONWebKey, 0, len(k.public))}
	for _, key := range k.public {
		set.Keys = append(set.Keys, key.JSONWebKey())
	}
	return set
}

// load creates missing keys, publishes all public keys and then signs with the current key.
func (k *keyring) load(ctx context.Context) error {
	var rows []signingKeyRow
	err := k.db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := k.deleteRetired(ctx, tx); err != nil {
			return err
		}
		var err error
		if rows, err = signingKeys(ctx, tx); err != nil {
			return err
		}
		for _, slot := range []string{keyCurrent, keyNext} {
			if err := k.fill(ctx, tx, rows, slot); err != nil {
				return err
			}
		}
		rows, err = signingKeys(ctx, tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading signing keys: %w", err)
	}
	if err := k.publish(ctx, rows); err != nil {
		return fmt.Errorf("publishing signing keys: %w", err)
	}
	return k.use(rows)
}

// fill creates a key for an empty slot. The slot's unique index decides between copies that do so concurrently.
func (k *keyring) fill(ctx context.Context, tx database.Tx, rows []signingKeyRow, slot string) error {
	for _, row := range rows {
		if row.state() == slot {
			return nil
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("creating a signing key: %w", err)
	}
	now := k.now().UnixMicro()
	row := signingKeyRow{KeyID: k.newID(), Slot: &slot, Public: public, CreatedAt: now}
	if slot == keyCurrent {
		row.CurrentAt = now
	}
	if row.Sealed, err = k.sealer.Seal(private.Seed(), keyContext(row.KeyID)); err != nil {
		return err
	}
	return addSigningKey(ctx, tx, &row)
}

func keyContext(keyID string) []byte { return []byte("signing_keys/" + keyID) }

func (k *keyring) deleteRetired(ctx context.Context, tx database.Tx) error {
	return deleteRetiredKeys(ctx, tx, k.now().Add(-k.retention-retiredMargin).UnixMicro())
}

// publish updates the bucket to match the rows.
func (k *keyring) publish(ctx context.Context, rows []signingKeyRow) error {
	keep := map[string]bool{}
	for _, row := range rows {
		keep[row.KeyID] = true
		want := subjects.SigningKey{KeyID: row.KeyID, Public: row.Public, Status: row.state()}
		have, err := k.published.Get(ctx, row.KeyID)
		if err == nil && have.Value.Status == want.Status && bytes.Equal(have.Value.Public, want.Public) {
			continue
		}
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if _, err := k.published.Put(ctx, row.KeyID, want); err != nil {
			return err
		}
	}
	published, err := k.published.Keys(ctx, ">")
	if err != nil {
		return err
	}
	for _, keyID := range published {
		if keep[keyID] {
			continue
		}
		// Only retired keys are deleted: another copy may have added a key since the rows were read.
		key, err := k.published.Get(ctx, keyID)
		if err == nil && key.Value.Status == keyRetired {
			err = k.published.DeleteRevision(ctx, keyID, key.Revision)
		}
		if err != nil && !errors.Is(err, kv.ErrNotFound) && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}

func (k *keyring) use(rows []signingKeyRow) error {
	public := make([]subjects.SigningKey, 0, len(rows))
	var private ed25519.PrivateKey
	var keyID string
	for _, row := range rows {
		public = append(public, subjects.SigningKey{KeyID: row.KeyID, Public: row.Public, Status: row.state()})
		if row.state() != keyCurrent {
			continue
		}
		seed, err := k.sealer.Open(row.Sealed, keyContext(row.KeyID))
		if err != nil {
			return fmt.Errorf("opening the signing key (was it sealed with another keyset?): %w", err)
		}
		keyID, private = row.KeyID, ed25519.NewKeyFromSeed(seed)
	}
	if private == nil {
		return errors.New("there is no current signing key")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keyID, k.private, k.public = keyID, private, public
	return nil
}

// rotate retires the current key and makes the next one current, unless another copy has done so already. Access tokens
// of the retired key stay valid until they expire.
func (k *keyring) rotate(ctx context.Context) error {
	k.mu.RLock()
	current := k.keyID
	k.mu.RUnlock()
	err := k.db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return rotateSigningKeys(ctx, tx, current, k.now().UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("rotating signing keys: %w", err)
	}
	return k.load(ctx)
}

// due reports whether the current key is older than age.
func (k *keyring) due(ctx context.Context, age time.Duration) (bool, error) {
	rows, err := signingKeys(ctx, k.db.DB)
	if err != nil {
		return false, fmt.Errorf("reading signing keys: %w", err)
	}
	for _, row := range rows {
		if row.state() == keyCurrent {
			return age > 0 && k.now().Sub(time.UnixMicro(row.CurrentAt)) >= age, nil
		}
	}
	return false, nil
}

// run follows other copies' changes to the keys and rotates the keys when they are due, until ctx ends.
func (k *keyring) run(ctx context.Context, every, age time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due, err := k.due(ctx, age)
		if err != nil {
			return err
		}
		if due {
			err = k.rotate(ctx)
		} else {
			err = k.load(ctx)
		}
		if err != nil {
			return err
		}
	}
}
