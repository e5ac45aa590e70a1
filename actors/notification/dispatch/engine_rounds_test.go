//go:build !torture

package dispatch_test

// engineRounds is how many seeds TestEngine has.
const engineRounds = 1
