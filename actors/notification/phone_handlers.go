package notification

import (
	"context"
	"crypto/subtle"
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// setPhone sends a code to a number. The code and its record are committed before it is sent, on their own: no answer to the request gives
// the places in the bounds back. A number that is verified already, and takes SMS, gets no code.
func (a *Actor) setPhone(ctx context.Context, r subjects.SetPhoneRequest) (subjects.Phone, error) {
	none := subjects.Phone{}
	if !a.channels.sms.Serves(smsAddress) {
		return none, subjects.Errorf(subjects.CodeUnsupported, "SMS are not configured")
	}
	number, err := parsePhone(r, a.config.Phone)
	if err != nil {
		return none, err
	}
	ctx = a.DB.Detached(ctx)
	userID := actors.CallerFrom(ctx).UserID
	row := phoneRow{UserID: userID, State: phonePending, ExpiresAt: a.Now().Add(codeLifetime).UnixMicro()}
	if row.NumberMAC, err = a.channels.keys.mac(ctx, "number", number.e164); err != nil {
		return none, err
	}
	current, err := a.store.phone(ctx, userID, phoneVerified)
	if err != nil && !errors.Is(err, errNoPhone) {
		return none, err
	}
	if err == nil && current.NumberMAC == row.NumberMAC && current.SuppressedAt == 0 {
		return a.phoneResource(ctx, userID)
	}
	code, err := newCode()
	if err != nil {
		return none, err
	}
	if row.CodeMAC, err = a.codeMAC(ctx, row, code); err != nil {
		return none, err
	}
	if row.Number, err = a.sealPhone(userID, number.e164); err != nil {
		return none, err
	}
	id := a.NewID()
	if err := a.storeCode(ctx, id, &row, number); err != nil {
		return none, err
	}
	if err := a.sendCode(ctx, id, row, number, code); err != nil {
		return none, err
	}
	return a.phoneResource(ctx, userID)
}

func (a *Actor) codeMAC(ctx context.Context, row phoneRow, code string) (string, error) {
	return a.channels.keys.mac(ctx, "code", row.UserID, row.NumberMAC, code)
}

// storeCode stores a number with its code, within the bounds of codes.
func (a *Actor) storeCode(ctx context.Context, id string, row *phoneRow, number phoneNumber) error {
	rangeMAC, err := a.channels.keys.mac(ctx, "range", number.numberRange)
	if err != nil {
		return err
	}
	record := phoneCodeRow{ID: id, UserID: row.UserID, NumberMAC: row.NumberMAC, RangeMAC: rangeMAC, SentAt: a.Now().UnixMicro()}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		for _, b := range []struct {
			*quota.Bound
			key string
		}{{a.bounds.phone.user, row.UserID}, {a.bounds.phone.number, row.NumberMAC}, {a.bounds.phone.numberRange, rangeMAC}} {
			if err := a.bounds.Reserve(ctx, tx, b.Bound, b.key, 1); err != nil {
				return err
			}
		}
		if err := a.store.insertPhoneCode(ctx, tx, &record); err != nil {
			return err
		}
		return a.store.replacePhone(ctx, tx, row)
	})
}

// renderCode renders the message with a code in the user's language, or in the default one where auth cannot tell it.
func (a *Actor) renderCode(ctx context.Context, id, userID, code string) (channel.Rendered, error) {
	contact, err := a.recipientContact(userID).get(ctx)
	if err != nil {
		a.Log.Warn("a verification code is sent in the default language", zap.Error(err))
	}
	revision, err := a.templates.store.revision(ctx)
	if err != nil {
		return channel.Rendered{}, err
	}
	out, err := a.templates.render(ctx, rendering{
		template: subjects.TemplatePhoneCode, revision: revision, channel: channel.SMS, reader: readerOf(contact), notificationID: id,
		category: categorySecurity, data: object([2]string{"code", code}, [2]string{"minutes", strconv.Itoa(int(codeLifetime / time.Minute))}),
	})
	return channel.Rendered{Subject: out.Subject, Text: out.Text, Locale: out.locale, TemplateVersion: out.version}, wrapped(err, "rendering a verification code")
}

// sendCode sends a code. Its errors name no provider.
func (a *Actor) sendCode(ctx context.Context, id string, row phoneRow, number phoneNumber, code string) error {
	rendered, err := a.renderCode(ctx, id, row.UserID, code)
	if err != nil {
		return err
	}
	_, err = a.channels.sms.Send(ctx, channel.Message{
		ID: "phone." + id, NotificationID: id, UserID: row.UserID, Category: categorySecurity, Unread: -1, ExpiresAt: time.UnixMicro(row.ExpiresAt),
		Address: channel.Address{To: number.e164}, Rendered: rendered,
	})
	var failed *channel.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed) && failed.Uncertain:
		return nil // it may arrive; if it does not, the user asks for another
	case errors.As(err, &failed) && (failed.Class == channel.Permanent || failed.Class == channel.Suppressed):
		refused := subjects.InvalidField("number", "cannot receive SMS")
		refused.Cause = err
		return refused
	}
	unavailable := &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the SMS cannot be sent now", RetryAfter: subjects.RetrySoon, Cause: err}
	if failed != nil && failed.RetryAfter > 0 {
		unavailable.RetryAfter = failed.RetryAfter
	}
	return unavailable
}

// verifyPhone verifies a number by its code. Attempts are counted on their own, whatever becomes of the request.
func (a *Actor) verifyPhone(ctx context.Context, r subjects.VerifyPhoneRequest) (subjects.Phone, error) {
	none := subjects.Phone{}
	ctx = a.DB.Detached(ctx)
	userID := actors.CallerFrom(ctx).UserID
	row, err := a.store.phone(ctx, userID, phonePending)
	if err != nil {
		return none, errNoCode(err)
	}
	mac, err := a.codeMAC(ctx, row, r.Code)
	if err != nil {
		return none, err
	}
	var tried, right bool
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		if tried, err = a.store.tryCode(ctx, tx, userID, a.Now(), a.config.Phone.MaxAttempts); err != nil {
			return err
		}
		if row, err = a.store.phone(ctx, userID, phonePending); err != nil || !tried {
			return errNoCode(err)
		}
		if right = subtle.ConstantTimeCompare([]byte(row.CodeMAC), []byte(mac)) == 1; !right {
			return nil
		}
		row.State, row.CodeMAC, row.ExpiresAt, row.Attempts, row.VerifiedAt = phoneVerified, "", 0, 0, a.Now().UnixMicro()
		if err := a.store.deletePhones(ctx, tx, userID, phonePending); err != nil {
			return err
		}
		return a.store.replacePhone(ctx, tx, &row)
	})
	switch {
	case err != nil:
		return none, err
	case !tried && row.Attempts >= a.config.Phone.MaxAttempts:
		return none, a.bounds.Refuse(a.bounds.phone.attempts)
	case !tried:
		return none, errNoCode(errNoPhone)
	case !right:
		return none, subjects.InvalidField("code", "is wrong")
	}
	return a.phoneResource(ctx, userID)
}

// errNoCode says that there is no number to verify.
func errNoCode(err error) error {
	if errors.Is(err, errNoPhone) {
		return subjects.Errorf(subjects.CodeNotFound, "no code is valid; set the phone number again")
	}
	return err
}

func (a *Actor) getPhone(ctx context.Context, _ subjects.Empty) (subjects.Phone, error) {
	return a.phoneResource(ctx, actors.CallerFrom(ctx).UserID)
}

func (a *Actor) deletePhone(ctx context.Context, _ subjects.Empty) (subjects.Empty, error) {
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.store.deletePhones(ctx, tx, actors.CallerFrom(ctx).UserID, phoneVerified, phonePending)
	})
	return subjects.Empty{}, err
}

// phoneResource returns a user's phone number as the user sees it.
func (a *Actor) phoneResource(ctx context.Context, userID string) (subjects.Phone, error) {
	var phone subjects.Phone
	row, err := a.store.phone(ctx, userID, phoneVerified)
	if err != nil && !errors.Is(err, errNoPhone) {
		return phone, err
	}
	if err == nil {
		e164, err := a.openPhone(row)
		if err != nil {
			return phone, err
		}
		phone = subjects.Phone{
			Number: maskPhone(e164), Verified: true, VerifiedAt: actors.OptionalTime(row.VerifiedAt), SuppressedAt: actors.OptionalTime(row.SuppressedAt),
		}
	}
	row, err = a.store.phone(ctx, userID, phonePending)
	if errors.Is(err, errNoPhone) || err == nil && row.ExpiresAt <= a.Now().UnixMicro() {
		return phone, nil
	}
	if err != nil {
		return phone, err
	}
	e164, err := a.openPhone(row)
	if err != nil {
		return phone, err
	}
	phone.Pending = &subjects.PendingPhone{
		Number: maskPhone(e164), ExpiresAt: time.UnixMicro(row.ExpiresAt).UTC(), AttemptsLeft: max(a.config.Phone.MaxAttempts-row.Attempts, 0),
	}
	return phone, nil
}

// prunePhones deletes old records of codes and numbers that were never verified, at the start and every hour.
func (a *Actor) prunePhones(ctx context.Context) error {
	return wait.Repeat(ctx, time.Hour, func(ctx context.Context) error {
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return a.store.deleteOldCodes(ctx, tx, a.Now().Add(-codePeriod))
		})
	})
}
