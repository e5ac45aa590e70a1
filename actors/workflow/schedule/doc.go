// Package schedule has the rules of schedules: when a workflow is due, and what a run that is due does to one that
// still runs. It is pure: no clock, no store, no mesh.
//
// A schedule stands in the definition, as the specification has it: cron, every, after or on. What the specification
// leaves out stands in document.metadata.schedule:
//
//	timeZone  the IANA zone that cron is read in; UTC unless given
//	overlap   what happens to a run that is due while one of the schedule's still runs: skip (the default), buffer_one,
//	          buffer_all, cancel_other, terminate_other, allow
//	catchUp   how late a run may still start, after a time in which no process ran; PT1H unless given
//	jitter    spreads starts over this time, the same for each nominal time; none unless given
//	input     the runs' input; expressions in it see .nominal_time, .scheduled_for, .time_zone and .backfill
//
// A nominal time is a time that the schedule names. There is at most one run for each, whatever happens: the run's
// execution id is derived from it.
//
// Daylight saving, for cron: a time that a change of the clock leaves out runs at the first instant after the gap; a
// time that comes twice runs the first time. An expression for every hour goes by elapsed time instead: it skips what
// does not exist and runs in both of the hours that look the same.
package schedule
