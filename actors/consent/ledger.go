package consent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// subject is a user in the ledger: a random id in place of the user's, and the key that encrypts what identifies them.
type subject struct {
	id  string
	key []byte
}

// subjectKeyBytes is the length of a subject's AES-256 key.
const subjectKeyBytes = 32

// subjectContext binds a subject's sealed key to the subject's id.
func subjectContext(id string) []byte { return []byte("consent_subjects/" + id) }

// ledgerEntry is a change of a consent as the stream CONSENT_LEDGER keeps it.
type ledgerEntry struct {
	ID        string `json:"id"`
	SubjectID string `json:"subject_id"`
	ConsentID string `json:"consent_id,omitempty"`
	Scope     string `json:"scope,omitempty"`
	// Consents are those whose records an erasure has ended.
	Consents []string  `json:"consents,omitempty"`
	Change   string    `json:"change"`
	At       time.Time `json:"at"`
	// Commitment is the SHA-256 of a salt and the text of what SQL has recorded (ledger.CommitmentOf). Only who has the salt can test a text against it;
	// an erasure deletes the salt.
	Commitment []byte `json:"commitment,omitempty"`
	// Sealed is a sealedEntry encrypted by AES-GCM under the subject's key, with the entry's id as associated data.
	Sealed []byte `json:"sealed,omitempty"`
}

// sealedEntry is the part of an entry that identifies the user.
type sealedEntry struct {
	Reason  string        `json:"reason,omitempty"`
	Consent sealedConsent `json:"consent"`
}

// sealedConsent is the consent in a sealedEntry.
type sealedConsent struct {
	UserID string `json:"user_id"`
	subjects.Consent
}

// recordChange writes a change of a consent to its history, and to the ledger and the event stream through the outbox.
func (a *Actor) recordChange(ctx context.Context, tx database.Tx, c consentRow, kind, reason string) error {
	e := entryRow{ID: a.NewID(), ConsentID: c.ID, Change: kind, At: a.Now().UnixMicro(), Reason: reason, Salt: make([]byte, saltBytes)}
	if _, err := rand.Read(e.Salt); err != nil {
		return fmt.Errorf("generating a salt: %w", err)
	}
	if err := a.store.insert(ctx, tx, &e); err != nil {
		return err
	}
	subject, err := a.ledgerSubject(ctx, tx, c.UserID)
	if err != nil {
		return err
	}
	entry, err := subject.encode(e, c)
	if err != nil {
		return err
	}
	change := e.resource()
	change.Reason = "" // the user's own words are in the history and, encrypted, in the ledger; a stream cannot erase them
	event, err := subjects.Encode(subjects.ConsentChanged.New(e.ID, c.UserID, a.Now(), subjects.ConsentChange{
		ConsentEntry: change, Scope: c.Scope, PurposeID: c.PurposeID, PurposeVersion: c.PurposeVersion,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	err = a.Outbox.Add(ctx, tx,
		outbox.Message{ID: "ledger." + e.ID, Subject: subjects.LedgerSubject(subject.id), Key: c.UserID, Data: entry},
		outbox.Message{ID: "event." + e.ID, Subject: subjects.ConsentChanged.Subject, Key: c.UserID, Data: event})
	if err != nil {
		return err
	}
	a.DB.AfterCommit(ctx, func() { a.metrics.changes.WithLabelValues(c.Scope, kind).Inc() })
	return nil
}

// erasedPerEntry bounds the consents that one entry of an erasure names.
const erasedPerEntry = 1000

// recordErasure writes to the ledger that the records of some consents were erased.
func (a *Actor) recordErasure(ctx context.Context, tx database.Tx, userID, subjectID string, consentIDs []string) error {
	for ids := range slices.Chunk(consentIDs, erasedPerEntry) {
		entry := ledgerEntry{ID: a.NewID(), SubjectID: subjectID, Consents: ids, Change: ledger.ChangeErased, At: a.Now().UTC()}
		data, err := json.Marshal(entry)
		if err != nil {
			return fmt.Errorf("encoding a ledger entry: %w", err)
		}
		err = a.Outbox.Add(ctx, tx, outbox.Message{ID: "ledger." + entry.ID, Subject: subjects.LedgerSubject(subjectID), Key: userID, Data: data})
		if err != nil {
			return err
		}
	}
	return nil
}

// ledgerSubject returns the ledger's subject of a user and creates it on first use.
func (a *Actor) ledgerSubject(ctx context.Context, tx database.Tx, userID string) (subject, error) {
	row, err := a.store.subject(ctx, userID)
	if err != nil && !errors.Is(err, errNoSubject) {
		return subject{}, err
	}
	if err == nil {
		key, err := a.Sealer.Open(row.SealedKey, subjectContext(row.ID))
		if err == nil {
			return subject{id: row.ID, key: key}, nil
		}
		// A revocation must be recorded even where the keyset was lost.
		a.Log.Error("decrypting a ledger subject's key; creating another subject", zap.String("subject_id", row.ID), zap.Error(err))
		if err := a.store.deleteSubject(ctx, tx, userID); err != nil {
			return subject{}, err
		}
	}
	return a.newSubject(ctx, tx, userID)
}

func (a *Actor) newSubject(ctx context.Context, tx database.Tx, userID string) (subject, error) {
	key := make([]byte, subjectKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return subject{}, fmt.Errorf("generating a subject's key: %w", err)
	}
	row := subjectRow{UserID: userID, ID: a.NewID()}
	var err error
	if row.SealedKey, err = a.Sealer.Seal(key, subjectContext(row.ID)); err != nil {
		return subject{}, err
	}
	// A concurrent transaction may have created the subject: then its row is returned.
	if row, err = a.store.addSubject(ctx, tx, row); err != nil {
		return subject{}, err
	}
	key, err = a.Sealer.Open(row.SealedKey, subjectContext(row.ID))
	return subject{id: row.ID, key: key}, err
}

// encode renders a change as a ledgerEntry.
func (s subject) encode(e entryRow, c consentRow) ([]byte, error) {
	plain, err := json.Marshal(sealedEntry{Reason: e.Reason, Consent: sealedConsent{UserID: c.UserID, Consent: c.resource(microTime(e.At))}})
	if err != nil {
		return nil, fmt.Errorf("encoding a ledger entry: %w", err)
	}
	cipher, err := subtle.NewAESGCM(s.key)
	if err != nil {
		return nil, fmt.Errorf("using a subject's key: %w", err)
	}
	text, err := recordText(c, e)
	if err != nil {
		return nil, err
	}
	entry := ledgerEntry{
		ID: e.ID, SubjectID: s.id, ConsentID: c.ID, Scope: c.Scope, Change: e.Change, At: time.UnixMicro(e.At).UTC(),
		Commitment: ledger.CommitmentOf(e.Salt, text),
	}
	if entry.Sealed, err = cipher.Encrypt(plain, []byte(e.ID)); err != nil {
		return nil, fmt.Errorf("encrypting a ledger entry: %w", err)
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("encoding a ledger entry: %w", err)
	}
	return data, nil
}
