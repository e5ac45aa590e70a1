package subjects

import "strings"

// Prefixes of weft's subjects. Only this package and kv contain subject literals.
const (
	endpointPrefix = "weft.v1."
	eventPrefix    = "weft.event.v1."
	jobPrefix      = "weft.job.v1."
	deadPrefix     = "weft.dead.v1."
	cancelPrefix   = "weft.cancel.v1."
	functionPrefix = "weft.ext.v1."
)

// GuardBarrier is the subject of revocation barriers: auth and consent publish, and every live guard acknowledges.
const GuardBarrier = "weft.guard.v1.barrier"

// FunctionsOf matches every subject below the namespace of an extension: weft.ext.v1.<namespace>.>.
func FunctionsOf(namespace string) string { return functionPrefix + namespace + ".>" }

// AnyFunction matches every subject of every extension.
const AnyFunction = functionPrefix + ">"

// FunctionSubject is the subject on which an extension serves a function: weft.ext.v1.<namespace>.<name>.
func FunctionSubject(namespace, name string) string { return functionPrefix + namespace + "." + name }

// CancelFunctionSubject is the subject on which the copies of an extension receive that an attempt of a call of a function is not awaited
// any more: weft.ext.v1.<namespace>.<name>.cancel.
func CancelFunctionSubject(namespace, name string) string {
	return FunctionSubject(namespace, name) + ".cancel"
}

// ExtensionEventPrefix begins the types of the events of extensions, which are ext.<extension>.<event>.
const ExtensionEventPrefix = "ext."

// ServiceInfo is the subject on which the copies of a NATS micro service answer with their endpoints.
func ServiceInfo(service string) string { return "$SRV.INFO." + service }

// CacheBarrier is the subject on which the processes of an actor tell each other whose cached rows are about to change. Each acknowledges.
func CacheBarrier(actor string) string { return "weft.guard.v1.caches." + actor }

// Kinds of NATS users that an operator enrolls. An enrolled user calls on <subject>.as.<kind>.<name>.
const (
	// KindExtension is a service of somebody else's that serves functions.
	KindExtension = "extension"
	// KindEdge is an edge node.
	KindEdge = "edge"
)

// EnrolledKinds returns the kinds of enrolled users.
func EnrolledKinds() []string { return []string{KindEdge, KindExtension} }

// AnyEndpoint matches the plain subject of every endpoint, but no subject of a service or an enrolled user.
const AnyEndpoint = endpointPrefix + "*.*"

// EndpointsOf returns the subjects that an actor subscribes to: plain calls, calls by services, and calls by enrolled users.
func EndpointsOf(actor string) []string {
	all := endpointPrefix + actor + ".*"
	list := []string{all, all + ".as.*"}
	for _, kind := range EnrolledKinds() {
		list = append(list, all+".as."+kind+".*")
	}
	return list
}

// Actors returns the names of the actors.
func Actors() []string {
	return []string{"auth", "integration", "workflow", "consent", "notification"}
}

func splitSubject(subject string) (actor, method string, ok bool) {
	rest, ok := strings.CutPrefix(subject, endpointPrefix)
	if !ok {
		return "", "", false
	}
	actor, method, ok = strings.Cut(rest, ".")
	return actor, method, ok && method != "" && !strings.ContainsAny(method, ". *>")
}

// ServiceSubject is the subject on which a service calls the endpoint, for itself or on a user's behalf:
// <subject>.as.<service>. The server allows only that service's NATS user to publish on it.
func (d *Descriptor) ServiceSubject(service string) string { return d.Subject + ".as." + service }

// EnrolledSubject is the subject on which an enrolled user calls the endpoint: <subject>.as.<kind>.<name>. The server allows only that
// user to publish on it. With the name "*" it matches those of all users of the kind.
func (d *Descriptor) EnrolledSubject(kind, name string) string {
	return d.Subject + ".as." + kind + "." + name
}

// ServicePattern matches the endpoint's service subjects.
func (d *Descriptor) ServicePattern() string { return d.Subject + ".as.*" }

// CancelSubject is the subject on which a service tells every process of an actor that it has given up a request to a cancellable
// endpoint: weft.cancel.v1.<actor>.<service>. The server allows only that service's NATS user to publish on it.
func CancelSubject(actor, service string) string { return cancelPrefix + actor + "." + service }

// CancelPattern matches the actor's cancel subjects.
func CancelPattern(actor string) string { return cancelPrefix + actor + ".*" }

// CancelledBy returns the service that a cancel subject identifies.
func CancelledBy(actor, subject string) string {
	return strings.TrimPrefix(subject, cancelPrefix+actor+".")
}

// CallerOf returns who the subject identifies: a service, with an empty kind, or an enrolled user with its kind. Both are empty for a plain
// call. The server's permissions authenticate the caller.
func (d *Descriptor) CallerOf(subject string) (kind, name string) {
	rest, ok := strings.CutPrefix(subject, d.Subject+".as.")
	if !ok {
		return "", ""
	}
	if kind, name, ok := strings.Cut(rest, "."); ok {
		return kind, name
	}
	return "", rest
}
