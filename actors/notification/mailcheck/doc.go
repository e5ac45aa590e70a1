// Package mailcheck says whether mail from a domain will be accepted: what DNS says about SPF, DKIM and DMARC, whether the sender is aligned
// with them, and what the mail server answers. It sends nothing unless it is asked to, and it changes nothing.
package mailcheck
