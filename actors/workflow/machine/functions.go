package machine

// The functions of weft's own. Every other <provider>.<action> is an action of a connection's provider.
const (
	FunctionEcho    = "echo"
	FunctionNotify  = "notification.send"
	FunctionConsent = "consent.require"
	FunctionStart   = "workflow.start"
)
