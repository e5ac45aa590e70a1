// Package edges is the hub's side of edge nodes: their leases, what they mirror, and the messages of their outboxes.
//
// It owns the tables edges and edge_outboxes. It trusts the name of an edge node that the NATS server has authenticated, and looks at each
// call whether the node is still enrolled, so that a revoked node is refused before the server has disconnected it.
//
// A message of an outbox is stored once: an outbox numbers its messages, and the highest stored number is committed with them. The number
// is all that is kept of messages past.
package edges
