package consent

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

const (
	// exportBytes bounds a part of an export of consents: in Base64 it fits into a message.
	exportBytes = 448 << 10
	// exportBatch is how many consents one query of an export reads.
	exportBatch = 50
)

// exportedConsent is a consent in an export.
type exportedConsent struct {
	Consent subjects.Consent        `json:"consent"`
	History []subjects.ConsentEntry `json:"history"`
	Receipt json.RawMessage         `json:"receipt"`
}

// exportConsents exports the caller's consents, as many as fit into an answer.
func (a receiptIssuer) exportConsents(ctx context.Context, r subjects.ExportConsentsRequest) (subjects.Document, error) {
	none := subjects.Document{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	var parts [][]byte
	size, last, more := 0, after[0], true
	for more && size < exportBytes {
		rows, err := a.store.exportPage(ctx, actors.CallerFrom(ctx).UserID, last, exportBatch)
		if err != nil {
			return none, err
		}
		for _, c := range rows {
			part, err := a.exportConsent(ctx, c, r.Format)
			if err != nil {
				return none, err
			}
			if size += len(part); size > exportBytes && len(parts) > 0 {
				return exportDocument(r.Format, parts, actors.EncodeCursor(last)), nil
			}
			parts, last = append(parts, part), c.ID
		}
		more = len(rows) == exportBatch
	}
	next := ""
	if more {
		next = actors.EncodeCursor(last)
	}
	return exportDocument(r.Format, parts, next), nil
}

// exportConsent is one consent in an export.
func (a receiptIssuer) exportConsent(ctx context.Context, c consentRow, format string) ([]byte, error) {
	entries, err := a.store.allEntries(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	signed, err := a.signedReceiptOf(ctx, c, entries)
	if err != nil {
		return nil, err
	}
	exported := exportedConsent{Consent: c.resource(a.Now()), Receipt: signed}
	for _, e := range entries {
		exported.History = append(exported.History, e.resource())
	}
	if format != formatCSV {
		return subjects.Encode(exported)
	}
	return exported.lines()
}

// exportColumns are the columns of an export as CSV.
var exportColumns = []string{
	"consent_id", "scope", "status", "purpose_id", "purpose_version", "purpose", "legal_basis", "jurisdiction", "notice_id", "notice_version", "notice_hash",
	"notice_language", "method", "granted_at", "expires_at", "entry_id", "change", "changed_at", "reason", "receipt",
}

// lines are the lines of a consent in CSV, one for each change; the last one has the receipt.
func (x exportedConsent) lines() ([]byte, error) {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	for i, e := range x.History {
		signed := ""
		if i == len(x.History)-1 {
			signed = string(x.Receipt)
		}
		c := x.Consent
		record := []string{
			c.ID, c.Scope, c.Status, c.PurposeID, fmt.Sprint(c.PurposeVersion), c.Purpose, c.LegalBasis, c.Jurisdiction, c.NoticeID, c.NoticeVersion,
			c.NoticeHash, c.NoticeLanguage, c.Method, c.GrantedAt.Format(time.RFC3339), c.ExpiresAt.Format(time.RFC3339), e.ID, e.Change,
			e.At.Format(time.RFC3339), e.Reason, signed,
		}
		for i, cell := range record {
			record[i] = csvCell(cell)
		}
		if err := w.Write(record); err != nil {
			return nil, fmt.Errorf("writing CSV: %w", err)
		}
	}
	w.Flush()
	return text.Bytes(), w.Error()
}

// exportDocument is a part of an export.
func exportDocument(format string, parts [][]byte, next string) subjects.Document {
	d := subjects.Document{ContentType: "application/json", Filename: "consents.json", Headers: map[string]string{}}
	if next != "" {
		query := url.Values{"cursor": {next}}
		if format != "" {
			query.Set("format", format)
		}
		d.Headers["Link"] = "</v1/consents/export?" + query.Encode() + `>; rel="next"`
	}
	var text bytes.Buffer
	if format == formatCSV {
		d.ContentType, d.Filename = "text/csv; charset=utf-8; header=present", "consents.csv"
		w := csv.NewWriter(&text)
		_ = w.Write(exportColumns) // of a buffer
		w.Flush()
		text.Write(bytes.Join(parts, nil))
		d.Body = text.Bytes()
		return d
	}
	text.WriteString(`{"items":[`)
	text.Write(bytes.Join(parts, []byte(",")))
	text.WriteByte(']')
	if next != "" {
		fmt.Fprintf(&text, `,"next_cursor":%q`, next)
	}
	text.WriteByte('}')
	d.Body = text.Bytes()
	return d
}
