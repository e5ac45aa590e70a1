// Package subjects is the contract of weft's mesh: every endpoint, event, job, stream and error code, declared once as a
// typed value.
//
// Derived from these declarations are the NATS micro endpoint with its schema metadata, the HTTP route, the OpenAPI
// operation, validation on both sides, the permissions in nats.conf and the catalogue in docs/subjects.md. To add a route,
// declare an endpoint; only the routes that the gateway answers by itself, such as its overview, have no endpoint.
//
// The package imports no other package of weft and does no I/O.
package subjects
