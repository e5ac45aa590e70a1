// Package egress makes HTTP calls to addresses that users or other third parties choose: a provider's API, a
// user-defined base URL, a user's webhook. Nothing else in weft may call such an address.
//
// It owns the HTTP client and guards against server-side request forgery:
//   - every dial, after name resolution and on every redirect, is refused unless the address is public or in
//     Options.Allow; proxy settings of the environment are ignored;
//   - only https is allowed, unless Options.AllowHTTP is set;
//   - a call may be restricted to a list of hosts; redirects are limited in number and subject to the same
//     restrictions, and credentials are dropped for the rest of the call once a redirect leaves the origin;
//   - time, response body, response header and connection pools are bounded;
//   - every failure is an *Error that states whether the request may have reached the server. Whether a
//     non-idempotent call may be retried depends on it.
//
// The retry policy (Policy) and the circuit breakers (Breakers) are separate from the client; the caller combines
// them. The package knows nothing about providers and imports no other package of weft.
package egress
