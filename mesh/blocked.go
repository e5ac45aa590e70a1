package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// BlockedAccounts knows the accounts for which nothing may start: disabled and deleted ones. It takes part in barriers of kind
// BarrierAccount: once one has returned, every live member knows the block or the unblocking that preceded it.
type BlockedAccounts struct {
	accounts *kv.Map[subjects.BlockedAccount]
}

// WatchBlockedAccounts loads the blocked accounts and watches them.
func WatchBlockedAccounts(ctx context.Context, p *Membership) (*BlockedAccounts, error) {
	b := &BlockedAccounts{}
	// A barrier that arrives before the accounts are loaded is not acknowledged, so it is sent again.
	loaded := make(chan struct{})
	p.Handle(BarrierAccount, func(ctx context.Context, s Barrier) error {
		select {
		case <-loaded:
			if s.Revision == 0 { // after an entry was deleted
				return b.accounts.Sync(ctx)
			}
			return b.accounts.WaitRevision(ctx, s.Revision)
		default:
			return errors.New("the blocked accounts are still being loaded")
		}
	})
	bucket, err := kv.Open[subjects.BlockedAccount](ctx, p.conn.JS, kv.AuthBlocked)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of blocked accounts: %w", err)
	}
	if b.accounts, err = kv.Watch(ctx, bucket, ">"); err != nil {
		return nil, fmt.Errorf("watching the blocked accounts: %w", err)
	}
	close(loaded)
	p.OnRejoin(b.accounts.Sync)
	return b, nil
}

// Has reports whether an account is blocked, as far as this process knows.
func (b *BlockedAccounts) Has(userID string) bool {
	if userID == "" || b.accounts.Len() == 0 {
		return false
	}
	_, blocked := b.accounts.Get(kv.EncodeKey(userID))
	return blocked
}

// Revision is that of the last change which this process has seen.
func (b *BlockedAccounts) Revision() uint64 { return b.accounts.Revision() }
