package pattern

import "sync"

// Bounds of a cache.
const (
	maxCached     = 64
	maxCachedSize = 20_000
)

// Cache keeps compiled patterns of package regexp's syntax, and what is wrong with others. It is emptied when it is full. The zero value is
// an empty cache; it is safe for concurrent use.
type Cache struct {
	mu    sync.Mutex
	known map[string]compiled
	size  int
}

type compiled struct {
	pattern *Pattern
	err     error
}

// Get returns the compiled pattern of a text, and whether it was compiled before.
func (c *Cache) Get(text string) (p *Pattern, known bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.known[text]; ok {
		return found.pattern, true, found.err
	}
	made := compiled{}
	made.pattern, made.err = Compile(text)
	size := 1 + len(text)/64
	if made.pattern != nil {
		size += made.pattern.size
	}
	if c.known == nil || len(c.known) >= maxCached || c.size+size > maxCachedSize {
		c.known, c.size = map[string]compiled{}, 0
	}
	if len(text) <= MaxText {
		c.known[text] = made
		c.size += size
	}
	return made.pattern, false, made.err
}
