// Package kv stores typed state in JetStream key-value buckets: sessions, revoked ids, the state of consents, leases of live
// processes, and rate-limit windows.
//
// It contains
//   - the declaration of every bucket (buckets.go): its name, writers and readers, expiry and durability. No other package
//     contains a bucket's name. `weft migrate` creates and changes them; the permissions in nats.conf derive from
//     Spec.Permissions;
//   - Bucket, typed JSON values with compare-and-set and per-key TTL;
//   - Map, a bucket that is watched into memory and read without locks;
//   - Lease and Live: which processes are alive, as answered by the stream's leader;
//   - Limiter and Pacer: rate limits that are never exceeded;
//   - ObjectStore: values of up to a message's size in JetStream object stores (objects.go).
//
// It is not for
//   - records that must be queried, joined or kept forever: they belong in SQL. A bucket is read by key;
//   - jobs and events: they belong in streams;
//   - mutual exclusion with fencing. A Lease says that a process is alive, not that it is alone; exclusion needs a
//     compare-and-set on a revision;
//   - exact expiry. The server counts a per-key TTL in whole seconds and may remove a key up to a second late. If the exact
//     end matters, store it in the value. TTLs are rounded up here, never down.
//
// Every message has an author, the only user that may write its key, and is signed. A message of another author is passed over, and
// displaces nothing: a bucket keeps all revisions, and the author deletes those before the one that it has written.
//
// A handle needs only the permissions of its Spec: opening publishes to STREAM.INFO, reading is one get, writing one publish and, of a
// key that existed, one purge that is not waited for.
// If the server cannot be reached, the error is ErrUnavailable, and a write may or may not have happened.
package kv
