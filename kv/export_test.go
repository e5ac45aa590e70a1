package kv

// Cells is how many keys the limiter remembers.
func (l *Limiter) Cells() (n int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].cells)
		l.shards[i].mu.Unlock()
	}
	return n
}
