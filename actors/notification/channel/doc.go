// Package channel defines what the notification actor gives to a provider and what it gets back: one rendered message to one address, and
// a receipt or a classified error. A provider is one file of a package below; Router picks among the providers of a channel.
//
// It does not decide whether a message is sent, and it stores nothing.
package channel
