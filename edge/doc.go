// Package edge is an edge node's side of its connection to the hub: the lease, the mirror of what the hub knows, the outbox of what the hub
// must be told, and the forwarding of calls.
//
// An edge node has a NATS server of its own with two accounts. The account of the mesh is that of a weft in one process: the gateway and the
// workflow actor use it as anywhere else. The account of the hub is bound to the leaf connection. Only this package connects to both, so it
// decides what crosses.
//
//   - Calls of the gateway to actors that do not run at the edge are forwarded to the hub on their plain subjects, with the caller's token.
//   - The mirror writes the hub's signing keys, revoked sessions, blocked accounts and consents to the edge's own buckets, so that tokens and
//     consents are checked at the edge by the code that checks them at the hub.
//   - The outbox is a bounded stream. The forwarder sends its messages in order and deletes those that the hub has stored.
//   - The lease bounds for how long an old yes may live: past it, nothing is permitted until the next contact.
package edge
