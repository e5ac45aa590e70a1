// Package definition checks workflow definitions and computes what an execution takes from its definition when it is
// created: its attributes, its limits and its priority.
//
// Package language parses a document and reports what the specification forbids. This package adds what weft requires:
// functions must exist, secrets must not reach calls that store their arguments, the schedule, the attributes
// and the limits (attributes and flow in document.metadata) must be valid. Resolve also fetches the schemas and
// functions that a definition refers to and makes them part of it, so that a stored version never changes.
//
// The package has no state and no I/O of its own; Resolve is given the function that fetches.
package definition
