package providers

import (
	"context"
	"sync"
	"time"
)

// tokenCache keeps one token. It is safe for concurrent use; one caller renews it, the others wait.
type tokenCache struct {
	turn  chan struct{} // holds one element while nobody renews
	mu    sync.Mutex
	value string
	made  time.Time
	until time.Time
}

func newTokenCache() *tokenCache {
	c := &tokenCache{turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// get returns the token, which renew makes where there is none that is valid at now. The time until which it is valid is renew's second
// result.
func (c *tokenCache) get(
	ctx context.Context, now func() time.Time, renew func(context.Context) (value string, until time.Time, err error),
) (string, error) {
	if value, ok := c.valid(now()); ok {
		return value, nil
	}
	select {
	case <-ctx.Done():
		return "", notSent(ctx)
	case <-c.turn:
	}
	defer func() { c.turn <- struct{}{} }()
	if value, ok := c.valid(now()); ok {
		return value, nil
	}
	value, until, err := renew(ctx)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value, c.made, c.until = value, now(), until
	return value, nil
}

func (c *tokenCache) valid(now time.Time) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.value != "" && now.Before(c.until)
}

// drop forgets a token that was refused, unless another one has replaced it or it was made less than age ago. It reports whether it did.
func (c *tokenCache) drop(value string, now time.Time, age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value != value {
		return true
	}
	if now.Sub(c.made) < age {
		return false
	}
	c.value = ""
	return true
}
