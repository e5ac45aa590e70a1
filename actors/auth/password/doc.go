// Package password hashes passwords, in a pool that refuses more than it can compute in time, and decides which ones may be chosen.
//
// It knows no accounts: the caller gives it the words of the account's name and address, and stores the hashes.
package password
