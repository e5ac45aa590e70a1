// Package kv is typed state in JetStream key-value buckets: sessions, revoked ids, consent state for
// readers, short leases of living processes, and rate-limit windows.
//
// It owns
//   - the declaration of every bucket (buckets.go): its name, who writes, who reads, how long a key
//     lives, how durable it is. No other package spells a bucket's name. Create makes them all, for
//     setup alone; nats.conf's permissions are derived from Spec.Permissions;
//   - Bucket, typed JSON values with compare-and-set and per-key TTL;
//   - Map, a bucket watched into memory and read without locks;
//   - Lease and Live: who is alive, answered by the stream's leader;
//   - Limiter: rate-limit windows that are never admitted past their limit;
//   - ObjectStore: values of up to a message's size, in JetStream object stores (objects.go).
//
// It refuses
//   - the record: what must be queried, joined or kept for good is SQL's. A bucket holds what is found by key;
//   - work and facts: those are streams;
//   - a lock that fences. A Lease says "alive", never "alone"; exclusion is a compare-and-set on a revision;
//   - exact expiry. The server counts a per-key TTL in whole seconds and may remove a key up to a second
//     late. Who needs the exact end keeps it in the value. A TTL is rounded up here, never down;
//   - knowledge of what the values mean: it imports nothing of ours.
//
// A handle needs no more than the permissions of its Spec: opening asks STREAM.INFO, reading is one
// get, writing one publish. Everything that fails because the server cannot be reached now is ErrUnavailable;
// a write that failed so may or may not have happened.
package kv
