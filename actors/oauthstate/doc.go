// Package oauthstate owns the one-time OAuth state store: what an actor must remember between the redirect of a browser to a
// provider and its callback, sealed in a bucket and consumed at most once (RFC 6749 §10.12, RFC 9700 §4.7). It also has the browser
// binding that ties a callback to the browser that started the flow, and the rule for redirect URIs.
//
// It refuses a state that is unknown, used or expired. It does not know OAuth's messages: auth and integration build and check them.
package oauthstate
