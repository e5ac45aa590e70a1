package consent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/consent/receipt"
	"github.com/weftmesh/weft/subjects"
)

// receiptKeysPath is where the public keys of receipts are served.
const receiptKeysPath = "/v1/consents/receipts/keys"

// receiptIssuer makes the receipts of consents.
type receiptIssuer struct{ *Actor }

func receiptKeyContext(id string) []byte { return []byte("receipt_keys/" + id) }

// openReceiptKey returns the key that signs receipts: the newest one, or a new one if there is none that can be opened.
func (a receiptIssuer) openReceiptKey(ctx context.Context) (receipt.Key, error) {
	rows, err := a.store.receiptKeys(ctx)
	if err != nil {
		return receipt.Key{}, err
	}
	if len(rows) > 0 {
		seed, err := a.Sealer.Open(rows[0].SealedKey, receiptKeyContext(rows[0].ID))
		if err == nil && len(seed) == ed25519.SeedSize {
			return a.receiptKey(rows[0].ID, seed), nil
		}
		a.Log.Error("the key of receipts cannot be decrypted; making a new one", zap.Error(err))
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return receipt.Key{}, fmt.Errorf("making the key of receipts: %w", err)
	}
	row := receiptKeyRow{ID: a.NewID(), CreatedAt: a.Now().UnixMicro()}
	key := a.receiptKey(row.ID, seed)
	row.Public, _ = key.Private.Public().(ed25519.PublicKey)
	if row.SealedKey, err = a.Sealer.Seal(seed, receiptKeyContext(row.ID)); err != nil {
		return receipt.Key{}, err
	}
	return key, a.store.addReceiptKey(ctx, row)
}

func (a receiptIssuer) receiptKey(id string, seed []byte) receipt.Key {
	return receipt.Key{ID: receipt.MethodID(a.base()+receiptKeysPath, id), Private: ed25519.NewKeyFromSeed(seed)}
}

// base is the URL of this installation without a trailing slash.
func (a receiptIssuer) base() string { return strings.TrimSuffix(a.config.PublicURL, "/") }

// receiptKeyDocument answers with the public keys of receipts.
func (a receiptIssuer) receiptKeyDocument(ctx context.Context, _ subjects.Empty) (subjects.Document, error) {
	rows, err := a.store.receiptKeys(ctx)
	if err != nil {
		return subjects.Document{}, err
	}
	names, keys := make([]string, len(rows)), make([]ed25519.PublicKey, len(rows))
	for i, row := range rows {
		names[i], keys[i] = row.ID, row.Public
	}
	text, err := receipt.Document(a.base()+receiptKeysPath, names, keys)
	return subjects.Document{Body: text, Headers: map[string]string{"Cache-Control": "public, max-age=300"}}, err
}

// signedReceipt returns the receipt of a consent.
func (a receiptIssuer) signedReceipt(ctx context.Context, c consentRow) (json.RawMessage, error) {
	entries, err := a.store.allEntries(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return a.signedReceiptOf(ctx, c, entries)
}

// signedReceiptOf is signedReceipt for a consent whose changes have been read.
func (a receiptIssuer) signedReceiptOf(ctx context.Context, c consentRow, entries []entryRow) (json.RawMessage, error) {
	in, err := a.receiptInput(ctx, c, entries)
	if err != nil {
		return nil, err
	}
	return a.receipts.Sign(receipt.Build(in), in.CreatedAt)
}

// receiptInput collects what a receipt of a consent says.
func (a receiptIssuer) receiptInput(ctx context.Context, c consentRow, entries []entryRow) (receipt.Input, error) {
	if len(entries) == 0 { // its history is not kept as long
		entries = []entryRow{{ID: c.ID, ConsentID: c.ID, Change: changeGranted, At: c.GrantedAt}}
	}
	last := entries[len(entries)-1]
	controller, now := a.config.Controller, a.Now().UTC()
	in := receipt.Input{
		ReceiptID: last.ID, RecordID: c.ID, SubjectID: c.UserID, CreatedAt: now, Base: a.base(), Scope: c.Scope, Jurisdiction: c.Jurisdiction,
		Minor: c.AgeClass == subjects.AgeMinor, Guardian: c.GuardianName, Controller: controller.party(a.Issuer),
		Authority: controller.Authority.party("_:authority"), StorageLocations: controller.StorageLocations,
		ProcessingLocations: controller.ProcessingLocations, GeographicRestrictions: controller.GeographicRestrictions,
		PrivacyPolicy: controller.PrivacyPolicy, Purpose: a.receiptPurpose(c), Method: c.Method, CollectionPlace: c.CollectionPlace,
		ExpiresAt: microTime(c.ExpiresAt),
		Notice:    receipt.Notice{ID: c.NoticeID, Version: c.NoticeVersion, Hash: c.NoticeHash, Language: c.NoticeLanguage},
	}
	if c.NoticeServedAt != 0 {
		in.Notice.ServedAt = microTime(c.NoticeServedAt)
	}
	if in.Jurisdiction == "" {
		in.Jurisdiction = controller.Country
	}
	in.Events = receiptEvents(c, entries, now)
	var err error
	in.Ledger, err = a.receiptLedger(ctx, c, last)
	return in, err
}

// receiptEvents are the changes of a consent. Its expiry is one, although nothing is written when it comes.
func receiptEvents(c consentRow, entries []entryRow, now time.Time) []receipt.Event {
	var events []receipt.Event
	for i, e := range entries {
		event := receipt.Event{Change: e.Change, At: microTime(e.At), Method: c.Method}
		if i > 0 {
			event.Method = "API"
			event.ByController = e.Change != subjects.ConsentRevoked && e.Change != subjects.ConsentSuperseded && e.Change != subjects.ConsentGPC
		}
		events = append(events, event)
	}
	if c.statusAt(now) == subjects.ConsentExpired && entries[len(entries)-1].Change != subjects.ConsentExpired {
		events = append(events, receipt.Event{Change: subjects.ConsentExpired, At: microTime(c.ExpiresAt), ByController: true, Method: "the time that was agreed"})
	}
	return events
}

// receiptPurpose is the purpose of a consent. If it was changed since, what it was is in the notice, and the receipt says nothing else of it.
func (a receiptIssuer) receiptPurpose(c consentRow) receipt.Purpose {
	p := receipt.Purpose{ID: c.PurposeID, Version: c.PurposeVersion, Description: c.Purpose, Category: "dpv:Purpose", LegalBasis: c.LegalBasis}
	now, known := a.purposes.get(c.PurposeID)
	if !known || now.Version != c.PurposeVersion {
		return p
	}
	if p.Description == "" {
		p.Description = now.Description
	}
	p.Category, p.Data, p.Recipients, p.Retention = now.category(), now.DataCategories, now.Recipients, now.Retention
	return p
}

// category is the purpose's category in DPV.
func (p purpose) category() string {
	switch {
	case p.SaleOrShare == subjects.KindSale:
		return "dpv:SellDataToThirdParties"
	case p.SaleOrShare == subjects.KindShare:
		return "dpv:TargetedAdvertising"
	case p.Scope == subjects.ScopeNotificationsMarketing:
		return "dpv:DirectMarketing"
	case strings.HasPrefix(p.Scope, "x."):
		return "dpv:Purpose"
	}
	return "dpv:ServiceProvision"
}

// receiptLedger is what the ledger has of the last change of a consent.
func (a receiptIssuer) receiptLedger(ctx context.Context, c consentRow, last entryRow) (receipt.Ledger, error) {
	text, err := recordText(c, last)
	if err != nil {
		return receipt.Ledger{}, err
	}
	l := receipt.Ledger{EntryID: last.ID, Status: receipt.Pending, Text: string(text), Salt: last.Salt}
	proof, err := a.ledger.ProveEntry(ctx, last.ID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	entries, err := a.ledger.Entries(ctx, proof.Index, 1)
	if err != nil || len(entries) == 0 || entries[0].Data == nil {
		return l, err
	}
	l.Status, l.Entry, l.Proof = receipt.Included, entries[0].Data, proof.Text()
	return l, nil
}
