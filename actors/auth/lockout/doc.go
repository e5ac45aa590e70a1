// Package lockout limits failed attempts by account and by source, in a bucket that all copies of the actor share.
//
// Rule decides, by values and without a clock of its own; Limiter applies it. The package knows neither passwords nor accounts.
package lockout
