// Package timing decides when a message may be sent: quiet hours, send windows and digest times, by the wall clock of an IANA time zone.
// It is pure: it reads no clock and keeps no state.
//
// A span of the wall clock includes every instant whose wall-clock time lies in it. An hour that daylight saving time repeats therefore is
// in the span twice, and one that it leaves out is not there at all. A digest time that is left out is the instant of the change; of one
// that is repeated the first occurrence counts.
package timing
