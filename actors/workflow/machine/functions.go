package machine

// The native functions, besides FunctionApproval. Any other function is named <provider>.<action>: an action of a connection's
// provider.
const (
	// FunctionEcho returns its arguments.
	FunctionEcho = "echo"
	// FunctionNotify sends a notification to the execution's user.
	FunctionNotify = "notification.send"
	// FunctionConsent fails unless the user consents to a scope.
	FunctionConsent = "consent.require"
	// FunctionStart starts an execution of another workflow.
	FunctionStart = "workflow.start"
)
