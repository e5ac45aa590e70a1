package subjects

import "strings"

// Prefixes of weft's subjects. Only this package and kv spell subjects out.
const (
	endpointPrefix = "weft.v1."
	eventPrefix    = "weft.event.v1."
	jobPrefix      = "weft.job.v1."
	deadPrefix     = "weft.dead.v1."
)

// GuardSync is published by auth and consent to every live guard: "take note before I acknowledge".
const GuardSync = "weft.guard.v1.sync"

// AnyEndpoint matches every endpoint's plain subject, and no service subject.
const AnyEndpoint = endpointPrefix + "*.*"

// EndpointsOf lists what an actor subscribes to: its endpoints plain, as services, and as edge nodes.
func EndpointsOf(actor string) []string {
	all := endpointPrefix + actor + ".*"
	return []string{all, all + ".as.*", all + ".as.edge.*"}
}

// Actors lists the five actors.
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

// ServiceSubject is where service calls the endpoint on its own account or a user's behalf:
// <subject>.as.<service>. The server's permissions allow it to that service's NATS user alone.
func (d *Descriptor) ServiceSubject(service string) string { return d.Subject + ".as." + service }

// EdgeSubject is where an edge node calls the endpoint: <subject>.as.edge.<node>.
func (d *Descriptor) EdgeSubject(node string) string { return d.Subject + ".as.edge." + node }

// ServicePattern is what the responder subscribes to besides the subject itself.
func (d *Descriptor) ServicePattern() string { return d.Subject + ".as.*" }

// CallerOf reads the service or edge node that the server let publish on subject; both empty for
// a plain call.
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
