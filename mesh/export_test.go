package mesh

import "strconv"

// MaxCachedTokens bounds the cache of verified tokens.
const MaxCachedTokens = maxCachedTokens

// FillTokenCache caches the tokens "0" to n-1, calling used after every thousandth, and returns the size of the cache.
func (v *Verifier) FillTokenCache(n int, used func()) int {
	for i := range n {
		v.tokens.Add(strconv.Itoa(i), verified{})
		if i%1000 == 0 {
			used()
		}
	}
	return v.tokens.Len()
}

// Cached reports whether a token is in the cache.
func (v *Verifier) Cached(token string) bool { return v.tokens.Contains(token) }
