// Package schedule implements the rules of schedules: when a workflow is due, and how a due run and one that is still
// running affect each other. It is pure: it uses no clock, storage or network.
//
// The definition contains the schedule as the specification defines it: cron, every, after or on. Options that the
// specification does not define are in document.metadata.schedule:
//
//	timeZone  the IANA time zone of cron; default UTC
//	overlap   the policy for a run that is due while another of the schedule is running: skip (default of cron), buffer_one,
//	          buffer_all, cancel_other, terminate_other, allow (default of every)
//	catchUp   how late a run may start after downtime; default PT1H
//	jitter    the window over which starts are spread, always the same for a nominal time; default none
//	input     the input of runs; its expressions read .nominal_time, .scheduled_for, .time_zone and .backfill
//
// A nominal time is a time at which the schedule is due. There is at most one run for each, because the execution id is
// derived from it.
//
// Daylight saving time, for cron: a local time that is skipped runs at the first instant after the gap; a local time
// that occurs twice runs the first time. An expression for every hour follows elapsed time instead: it skips local times
// that do not exist and runs in both repetitions of an hour.
package schedule
