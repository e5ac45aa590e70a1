// Package deferred owns the messages that a worker has deferred: those whose handling failed and is to be tried again later, and those
// that wait for their turn behind others of the same user. A message is stored in the actor's database before it is acknowledged, so
// that it holds no place among the unacknowledged messages of its durable, and is taken when it is due.
//
// It bounds what is deferred, for each user and in all. It does not handle messages and does not decide when they are due.
package deferred
