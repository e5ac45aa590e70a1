// Package quota caps what one user may store.
//
// An actor declares a Bound for each kind of thing that a user can create and that stays. Reserve counts it in the transaction
// that adds to it, after taking a lock of the user and the bound: two concurrent transactions cannot exceed a bound together, and
// a deletion frees its place when it commits. A refusal is subjects.CodeRateLimited with subjects.ReasonLimitReached; its detail
// names the setting. weft_limit_refusals_total counts refusals by bound.
package quota
