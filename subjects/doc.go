// Package subjects is the contract of weft's mesh: every endpoint, event, job, stream and error code,
// declared once as a typed value.
//
// Everything else is derived from these declarations: the NATS micro endpoint with its schema metadata,
// the HTTP route, the OpenAPI operation, validation on both sides, the permissions in nats.conf and
// the catalogue in docs/subjects.md. Declaring an endpoint is the only thing that adds a route.
//
// The package imports nothing of weft's and does no I/O.
package subjects
