package mesh

import (
	"slices"
	"strings"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// The NATS users that are no actors.
const (
	// UserGateway is the gateway's.
	UserGateway = "gateway"
	// UserOperator is who looks after the mesh with the nats CLI.
	UserOperator = "operator"
	// UserSetup creates and changes streams, buckets and durables, and does nothing else.
	UserSetup = "setup"
	// UserSystem watches the servers themselves, in the system account.
	UserSystem = "sys"
)

// Users lists the NATS users of weft's account: the actors, the gateway, the operator and setup.
func Users() []string {
	return append(subjects.Actors(), UserGateway, UserOperator, UserSetup)
}

// Permissions is what a NATS user may publish and subscribe. What is not in a list is refused.
type Permissions struct {
	Publish, Subscribe []string
	// Responses lets the user answer what it was asked, once each, until past the longest deadline.
	Responses bool
}

// PermissionsOf derives a user's permissions from the contract and the buckets, each list sorted and
// without duplicates. Every user may besides use its private inbox, nobody another's.
func PermissionsOf(user string) Permissions {
	p := Permissions{Subscribe: []string{InboxPrefix(user) + ".>"}}
	switch {
	case slices.Contains(subjects.Actors(), user):
		p.actor(user)
	case user == UserGateway:
		p.publish(subjects.AnyEndpoint)
	case user == UserOperator:
		p.operator()
	case user == UserSetup:
		p.setup()
		return p.tidy()
	}
	p.calls(user)
	p.buckets(user)
	p.streams(user)
	return p.tidy()
}

func (p *Permissions) publish(list ...string) { p.Publish = append(p.Publish, list...) }

func (p *Permissions) tidy() Permissions {
	for _, list := range []*[]string{&p.Publish, &p.Subscribe} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return *p
}

// actor serves its endpoints, answers NATS micro's discovery, and works off its durables.
func (p *Permissions) actor(name string) {
	p.Responses = true
	p.Subscribe = append(p.Subscribe, subjects.EndpointsOf(name)...)
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.Subscribe = append(p.Subscribe, "$SRV."+verb, "$SRV."+verb+"."+name, "$SRV."+verb+"."+name+".*")
	}
	if name == "workflow" { // owners of partitions take the commands of their peers
		p.publish(subjects.AnyWorkflowPartition)
		p.Subscribe = append(p.Subscribe, subjects.AnyWorkflowPartition)
	}
	for _, c := range subjects.Consumers() {
		if c.Owner == name {
			id := c.Stream + "." + c.Durable
			p.publish("$JS.API.CONSUMER.INFO."+id, "$JS.API.CONSUMER.MSG.NEXT."+id,
				// The second form is what servers past 2.15 will acknowledge on (ADR-15 of NATS).
				"$JS.ACK."+id+".>", "$JS.ACK.*.*."+id+".>")
		}
	}
}

// calls are the service subjects of the endpoints that name the user.
func (p *Permissions) calls(user string) {
	for _, d := range subjects.Endpoints() {
		if d.Access.AllowsService(user) {
			p.publish(d.ServiceSubject(user))
		}
	}
}

// buckets are what kv says, and, for who holds a guard, the call that revocations make.
func (p *Permissions) buckets(user string) {
	for _, spec := range kv.All() {
		p.publish(spec.Permissions(user)...)
	}
	for _, spec := range kv.ObjectStores() {
		p.publish(spec.Permissions(user)...)
	}
	if slices.Contains(kv.Guards.Writers, user) {
		p.Responses = true
		p.Subscribe = append(p.Subscribe, subjects.GuardSync)
	}
	if slices.Contains(kv.Guards.Readers, user) {
		p.publish(subjects.GuardSync)
	}
}

// streams lets a writer publish below its own name, or on the whole where it is alone, and a reader read.
func (p *Permissions) streams(user string) {
	for _, s := range subjects.Streams() {
		if slices.Contains(s.Writers, user) {
			for _, subject := range s.Subjects {
				if len(s.Writers) > 1 {
					subject = strings.TrimSuffix(subject, ">") + user + ".>"
				}
				p.publish(subject)
			}
		}
		if slices.Contains(s.Readers, user) {
			p.read(s.Name)
		}
		if slices.Contains(s.Purgers, user) {
			p.publish("$JS.API.STREAM.PURGE." + s.Name)
		}
	}
}

// read is what an ephemeral consumer, pulling or ordered, and a get of single messages need.
func (p *Permissions) read(stream string) {
	p.publish(
		"$JS.API.STREAM.INFO."+stream,
		"$JS.API.STREAM.MSG.GET."+stream,
		"$JS.API.DIRECT.GET."+stream,
		"$JS.API.DIRECT.GET."+stream+".>",
		"$JS.API.CONSUMER.CREATE."+stream+".>",
		"$JS.API.CONSUMER.DELETE."+stream+".*",
		"$JS.API.CONSUMER.INFO."+stream+".*",
		"$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		"$JS.ACK."+stream+".>", "$JS.ACK.*.*."+stream+".>",
		"$JS.FC."+stream+".>", "$JS.FC.*.*."+stream+".>",
	)
}

// operator looks at everything with the nats CLI, calls endpoints as whoever signs in, and replays dead
// letters. It writes no bucket, calls as no service, and takes nothing away but what is dead.
func (p *Permissions) operator() {
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.publish("$SRV."+verb, "$SRV."+verb+".>")
	}
	p.publish(subjects.AnyEndpoint)
	p.publish("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
		"$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*")
	for _, name := range streamNames() {
		p.read(name)
	}
	p.publish("$JS.API.STREAM.MSG.DELETE."+subjects.Dead.Name, "$JS.API.STREAM.PURGE."+subjects.Dead.Name)
	for _, d := range append(slices.Clone(subjects.AllJobs()), subjects.AllEvents()...) {
		p.publish(d.Subject)
	}
	p.Subscribe = append(p.Subscribe, subjects.Events.Subjects...)
	p.Subscribe = append(p.Subscribe, subjects.Dead.Subjects...)
}

func (p *Permissions) setup() {
	p.publish("$JS.API.INFO", "$JS.API.STREAM.NAMES")
	for _, name := range streamNames() {
		p.publish("$JS.API.STREAM.INFO."+name, "$JS.API.STREAM.CREATE."+name, "$JS.API.STREAM.UPDATE."+name)
	}
	for _, spec := range kv.All() {
		if spec.Storage == kv.Volatile { // made anew where it must be kept in another way
			p.publish("$JS.API.STREAM.DELETE." + spec.Stream())
		}
	}
	for _, c := range subjects.Consumers() {
		p.publish("$JS.API.CONSUMER.CREATE."+c.Stream+".>", "$JS.API.CONSUMER.INFO."+c.Stream+".*")
	}
}

// streamNames lists the streams, those of the buckets and object stores included.
func streamNames() []string {
	var names []string
	for _, s := range subjects.Streams() {
		names = append(names, s.Name)
	}
	for _, spec := range kv.All() {
		names = append(names, spec.Stream())
	}
	for _, spec := range kv.ObjectStores() {
		names = append(names, spec.Stream())
	}
	return names
}
