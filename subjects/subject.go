package subjects

import "strings"

// Prefixes of weft's subjects. Only this package and kv contain subject literals.
const (
	endpointPrefix = "weft.v1."
	eventPrefix    = "weft.event.v1."
	jobPrefix      = "weft.job.v1."
	deadPrefix     = "weft.dead.v1."
	cancelPrefix   = "weft.cancel.v1."
)

// GuardBarrier is the subject of revocation barriers: auth and consent publish, and every live guard acknowledges.
const GuardBarrier = "weft.guard.v1.barrier"

// CacheBarrier is the subject on which the processes of an actor tell each other whose cached rows are about to change. Each acknowledges.
func CacheBarrier(actor string) string { return "weft.guard.v1.caches." + actor }

// AnyEndpoint matches the plain subject of every endpoint, but no service or edge subject.
const AnyEndpoint = endpointPrefix + "*.*"

// EndpointsOf returns the subjects that an actor subscribes to: plain calls, calls by services, and calls by edge nodes.
func EndpointsOf(actor string) []string {
	all := endpointPrefix + actor + ".*"
	return []string{all, all + ".as.*", all + ".as.edge.*"}
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

// EdgeSubject is the subject on which an edge node calls the endpoint: <subject>.as.edge.<node>.
func (d *Descriptor) EdgeSubject(node string) string { return d.Subject + ".as.edge." + node }

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

// CallerOf returns the service or the edge node that subject identifies, both empty for a plain call. The server's
// permissions authenticate it.
func (d *Descriptor) CallerOf(subject string) (service, edge string) {
	rest, ok := strings.CutPrefix(subject, d.Subject+".as.")
	if !ok {
		return "", ""
	}
	if node, ok := strings.CutPrefix(rest, "edge."); ok {
		return "", node
	}
	return rest, ""
}
