package consent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// subject is a user as the ledger knows them: an id of its own, and a key that seals whatever says who they are.
type subject struct {
	id  string
	key []byte
}

const subjectKeyBytes = 32

func subjectContext(id string) []byte { return []byte("consent_subjects/" + id) }

// subjectOf finds the ledger's subject for a user, or makes one.
func (a *Actor) subjectOf(ctx context.Context, tx database.Tx, userID string) (subject, error) {
	row, err := subjectRowOf(ctx, tx, userID)
	if err != nil {
		return subject{}, err
	}
	if row != nil {
		key, err := a.Sealer.Open(row.SealedKey, subjectContext(row.ID))
		if err == nil {
			return subject{id: row.ID, key: key}, nil
		}
		// The keyset was lost: a revocation must be recorded all the same.
		a.Log.Error("a subject's key cannot be opened, the ledger gets another subject", zap.String("subject_id", row.ID), zap.Error(err))
		if err := dropSubject(ctx, tx, userID); err != nil {
			return subject{}, err
		}
	}
	key := make([]byte, subjectKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return subject{}, fmt.Errorf("making a subject's key: %w", err)
	}
	made := subjectRow{UserID: userID, ID: a.NewID()}
	if made.SealedKey, err = a.Sealer.Seal(key, subjectContext(made.ID)); err != nil {
		return subject{}, err
	}
	if row, err = addSubject(ctx, tx, made); err != nil {
		return subject{}, err
	}
	key, err = a.Sealer.Open(row.SealedKey, subjectContext(row.ID))
	return subject{id: row.ID, key: key}, err
}

// ledgerEntry is a change of a consent as the ledger keeps it, for ever.
type ledgerEntry struct {
	ID        string    `json:"id"`
	SubjectID string    `json:"subject_id"`
	ConsentID string    `json:"consent_id"`
	Scope     string    `json:"scope"`
	Change    string    `json:"change"`
	At        time.Time `json:"at"`
	// Sealed is a sealedEntry under the subject's key, and bound to the entry's id.
	Sealed []byte `json:"sealed"`
}

// sealedEntry is what of an entry tells who it is about.
type sealedEntry struct {
	Reason  string                  `json:"reason,omitempty"`
	Consent subjects.ConsentReceipt `json:"consent"`
}

// entryOf renders a change for the ledger.
func (s subject) entryOf(e entryRow, c consentRow) ([]byte, error) {
	plain, err := json.Marshal(sealedEntry{Reason: e.Reason, Consent: c.receipt()})
	if err != nil {
		return nil, fmt.Errorf("encoding a ledger entry: %w", err)
	}
	cipher, err := subtle.NewAESGCM(s.key)
	if err != nil {
		return nil, fmt.Errorf("using a subject's key: %w", err)
	}
	entry := ledgerEntry{
		ID: e.ID, SubjectID: s.id, ConsentID: c.ID, Scope: c.Scope, Change: e.Change, At: time.UnixMicro(e.At).UTC(),
	}
	if entry.Sealed, err = cipher.Encrypt(plain, []byte(e.ID)); err != nil {
		return nil, fmt.Errorf("sealing a ledger entry: %w", err)
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("encoding a ledger entry: %w", err)
	}
	return data, nil
}
