package notification

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// The reasons of suppressions.
const (
	reasonBounce    = "bounce"
	reasonComplaint = "complaint"
	reasonManual    = "manual"
)

// suppressionContext binds a sealed address to its row.
func suppressionContext(id string) []byte { return []byte("mail_suppression|" + id) }

// suppressed returns why an address gets no message of a category; empty if it gets it. A complaint does not hold back messages of the
// category security: nobody is locked out of an account by a click on "spam".
func (m *mailer) suppressed(ctx context.Context, address, category string) (reason string, err error) {
	hash, err := m.keys.addressHash(ctx, address)
	if err != nil {
		return "", err
	}
	row, err := m.store.suppression(ctx, hash)
	switch {
	case errors.Is(err, errNoSuppression):
		return "", nil
	case err != nil:
		return "", err
	case row.Reason == reasonComplaint && category == categorySecurity:
		return "", nil
	}
	return row.Reason, nil
}

// newSuppression returns a row. It may make the secret of channelKeys, and so is called before a transaction.
func (m *mailer) newSuppression(ctx context.Context, address, reason string) (suppressionRow, error) {
	hash, err := m.keys.addressHash(ctx, address)
	if err != nil {
		return suppressionRow{}, err
	}
	row := suppressionRow{ID: m.NewID(), AddressHash: hash, Reason: reason, Since: m.Now().UnixMicro()}
	sealed, err := m.Sealer.Seal([]byte(address), suppressionContext(row.ID))
	if err != nil {
		return suppressionRow{}, err
	}
	row.Address = base64.StdEncoding.EncodeToString(sealed)
	return row, nil
}

// suppressionResource returns a row as an admin sees it; without the address where that cannot be decrypted.
func (m *mailer) suppressionResource(row suppressionRow) subjects.Suppression {
	r := subjects.Suppression{
		ID: row.ID, UserID: row.UserID, Reason: row.Reason, Provider: row.Provider, Detail: row.Detail, Since: time.UnixMicro(row.Since).UTC(),
	}
	if sealed, err := base64.StdEncoding.DecodeString(row.Address); err == nil {
		if address, err := m.Sealer.Open(sealed, suppressionContext(row.ID)); err == nil {
			r.Address = string(address)
		}
	}
	return r
}

func (m *mailer) listSuppressions(ctx context.Context, r subjects.ListSuppressionsRequest) (subjects.Page[subjects.Suppression], error) {
	none := subjects.Page[subjects.Suppression]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	hash := ""
	if r.Address != "" {
		if hash, err = m.keys.addressHash(ctx, r.Address); err != nil {
			return none, err
		}
	}
	rows, err := m.store.suppressions(ctx, r, hash, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.Suppression, len(rows))
	for i, row := range rows {
		items[i] = m.suppressionResource(row)
	}
	return actors.PageOf(items, r.PageLimit(), func(s subjects.Suppression) []string { return []string{s.ID} }), nil
}

func (m *mailer) addSuppression(ctx context.Context, r subjects.AddSuppressionRequest) (subjects.Suppression, error) {
	none := subjects.Suppression{}
	if parsed, err := netmail.ParseAddress(r.Address); err != nil || parsed.Address != r.Address {
		return none, subjects.InvalidField("address", "is no e-mail address")
	}
	row, err := m.newSuppression(ctx, r.Address, reasonManual)
	if err != nil {
		return none, err
	}
	row.Detail = r.Detail
	err = m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := m.store.suppress(ctx, tx, row); err != nil {
			return err
		}
		row, err = m.store.suppression(ctx, row.AddressHash)
		return err
	})
	if err != nil {
		return none, fmt.Errorf("adding a suppression: %w", err)
	}
	return m.suppressionResource(row), nil
}

func (m *mailer) deleteSuppression(ctx context.Context, r subjects.SuppressionRequest) (subjects.Empty, error) {
	err := m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		deleted, err := m.store.deleteSuppression(ctx, tx, strings.ToLower(r.ID))
		if err == nil && !deleted {
			return subjects.Errorf(subjects.CodeNotFound, "suppression not found")
		}
		return err
	})
	return subjects.Empty{}, err
}
