// Package memory bounds the memory of a process: by the limit of its container, and by budgets for the requests that it holds at the
// same time.
package memory
