package consent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/consent/receipt"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/subjects"
)

const (
	// formatKantara is the format of the Kantara Consent Receipt Specification.
	formatKantara = "kantara"
	// typeJSONLD is the media type of receipts (JSON-LD 1.1, IANA Considerations).
	typeJSONLD = "application/ld+json"
)

// receipt answers with a consent's receipt.
func (a receiptIssuer) receipt(ctx context.Context, r subjects.ReceiptRequest) (subjects.Document, error) {
	c, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID)
	if err != nil {
		return subjects.Document{}, err
	}
	if r.Format == formatKantara {
		entries, err := a.store.allEntries(ctx, c.ID)
		if err != nil {
			return subjects.Document{}, err
		}
		in, err := a.receiptInput(ctx, c, entries)
		if err != nil {
			return subjects.Document{}, err
		}
		text, err := json.Marshal(receipt.BuildKantara(in, slices.DeleteFunc(slices.Clone(in.Purpose.Recipients), func(name string) bool {
			return name == recipientNone
		})))
		return subjects.Document{ContentType: "application/json", Body: text, Filename: "receipt-" + c.ID + ".json"}, err
	}
	text, err := a.signedReceipt(ctx, c)
	return subjects.Document{ContentType: typeJSONLD, Body: text, Filename: "receipt-" + c.ID + ".jsonld"}, err
}

// exportReceipts returns the receipts of a user's consents, for the answer to a request for access.
func (a receiptIssuer) exportReceipts(ctx context.Context, userID, after string, limit int) ([]dataexport.Record, error) {
	const most = 20
	rows, err := a.store.exportPage(ctx, userID, after, min(limit, most))
	if err != nil {
		return nil, err
	}
	records := make([]dataexport.Record, len(rows))
	for i, c := range rows {
		text, err := a.signedReceipt(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("making the receipt of %s: %w", c.ID, err)
		}
		records[i] = dataexport.Record{Key: c.ID, Values: map[string]any{"consent_id": c.ID, "receipt": text}}
	}
	return records, nil
}
