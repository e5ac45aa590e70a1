package workflow

// The functions of weft's own. Every other <provider>.<action> is an action of a connection's provider.
const (
	functionEcho    = "echo"
	functionNotify  = "notification.send"
	functionConsent = "consent.require"
	functionStart   = "workflow.start"
)
