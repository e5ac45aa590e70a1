package mesh

import (
	"slices"
	"strings"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// The NATS users other than the actors.
const (
	// UserGateway is the gateway.
	UserGateway = "gateway"
	// UserOperator is for people who operate the mesh with the nats CLI.
	UserOperator = "operator"
	// UserMigrate creates and updates streams, buckets and durables, and can do nothing else. No other user can.
	UserMigrate = "migrate"
	// UserBackup reads snapshots of streams, and can do nothing else.
	UserBackup = "backup"
	// UserSystem monitors the servers, in the system account.
	UserSystem = "sys"
)

// streamListSubject lists the configurations and sizes of all streams, without the subjects in them.
const streamListSubject = "$JS.API.STREAM.LIST"

// Users returns the NATS users of weft's account: the actors, the gateway, the operator, migrate and backup.
func Users() []string {
	return append(subjects.Actors(), UserGateway, UserOperator, UserMigrate, UserBackup)
}

// Permissions lists the subjects that a NATS user may publish and subscribe to. All others are denied.
type Permissions struct {
	Publish, Subscribe []string
	// Responses allows one reply to each request that the user receives, until responseExpiry.
	Responses bool
}

// PermissionsOf derives a user's permissions from the contract and the buckets. Lists are sorted and have no duplicates. Each user
// may also subscribe to its own inbox prefix, and to no other.
func PermissionsOf(user string) Permissions {
	p := Permissions{Subscribe: []string{InboxPrefix(user) + ".>"}}
	switch {
	case slices.Contains(subjects.Actors(), user):
		p.actor(user)
	case user == UserGateway:
		p.publish(subjects.AnyEndpoint)
	case user == UserOperator:
		p.operator()
	case user == UserMigrate:
		p.migrate()
		p.restore()
		return p.tidy()
	case user == UserBackup:
		p.backup()
		return p.tidy()
	}
	p.publish(streamListSubject) // processes report how streams differ from what they expect
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

// actor permits serving endpoints, answering NATS micro's discovery, and consuming from durables.
func (p *Permissions) actor(name string) {
	p.Responses = true
	p.Subscribe = append(p.Subscribe, subjects.EndpointsOf(name)...)
	p.discovery(name)
	for _, d := range subjects.Endpoints() {
		if d.Actor == name && d.Cancellable {
			p.Subscribe = append(p.Subscribe, subjects.CancelPattern(name))
		}
	}
	p.publish(subjects.CacheBarrier(name))
	p.Subscribe = append(p.Subscribe, subjects.CacheBarrier(name))
	if name == "workflow" { // partition owners take commands from their peers, and call the functions of extensions
		p.publish(subjects.AnyWorkflowPartition, subjects.AnyFunction, subjects.ServiceInfo("*"))
		p.Subscribe = append(p.Subscribe, subjects.AnyWorkflowPartition)
	}
	for _, c := range subjects.Consumers() {
		if c.Owner == name {
			id := c.Stream + "." + c.Durable
			p.publish("$JS.API.CONSUMER.INFO."+id, "$JS.API.CONSUMER.MSG.NEXT."+id,
				// Servers after 2.15 acknowledge on subjects of the second form (NATS ADR-15).
				"$JS.ACK."+id+".>", "$JS.ACK.*.*."+id+".>")
		}
	}
}

// discovery permits answering NATS micro's discovery as the service with the name.
func (p *Permissions) discovery(name string) {
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.Subscribe = append(p.Subscribe, "$SRV."+verb, "$SRV."+verb+"."+name, "$SRV."+verb+"."+name+".*")
	}
}

// calls permits calling the endpoints that list the user as a service, on their service subjects.
func (p *Permissions) calls(user string) {
	for _, d := range subjects.Endpoints() {
		if d.Access.AllowsService(user) {
			p.publish(d.ServiceSubject(user))
			if d.Cancellable {
				p.publish(subjects.CancelSubject(d.Actor, user))
			}
		}
	}
}

// buckets permits what kv says and, to users with a guard, acknowledging revocation barriers.
func (p *Permissions) buckets(user string) {
	for _, spec := range kv.All() {
		p.publish(spec.Permissions(user)...)
	}
	for _, spec := range kv.ObjectStores() {
		p.publish(spec.Permissions(user)...)
	}
	if slices.Contains(kv.Guards.Writers, user) {
		p.Responses = true
		p.Subscribe = append(p.Subscribe, subjects.GuardBarrier)
	}
	if slices.Contains(kv.Guards.Readers, user) {
		p.publish(subjects.GuardBarrier)
	}
}

// streams permits writers to publish below their own name, or to all subjects if they are the only writer, and readers to read.
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
			p.publish(privilegedPattern + "STREAM.PURGE." + s.Name)
		}
	}
}

// read permits ephemeral consumers (pull or ordered) and getting single messages from the leader. Clients ask for the deletion of their
// consumers; the server denies it, and deletes those that are unused.
func (p *Permissions) read(stream string) {
	p.publish(
		"$JS.API.STREAM.INFO."+stream,
		"$JS.API.STREAM.MSG.GET."+stream,
		"$JS.API.CONSUMER.CREATE."+stream+".>",
		"$JS.API.CONSUMER.DELETE."+stream+".*",
		"$JS.API.CONSUMER.INFO."+stream+".*",
		"$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		"$JS.ACK."+stream+".>", "$JS.ACK.*.*."+stream+".>",
		"$JS.FC."+stream+".>", "$JS.FC.*.*."+stream+".>",
	)
}

// operator permits inspecting everything with the nats CLI, calling endpoints as a signed-in user, and deleting dead letters. It permits
// neither publishing to streams and buckets, nor calling as a service.
func (p *Permissions) operator() {
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.publish("$SRV."+verb, "$SRV."+verb+".>")
	}
	p.publish(subjects.AnyEndpoint)
	p.publish("$JS.API.INFO", "$JS.API.STREAM.NAMES",
		"$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*")
	for _, name := range streamNames() {
		p.read(name)
	}
	p.publish("$JS.API.STREAM.MSG.DELETE." + subjects.Dead.Name)
	for _, subject := range slices.Concat(subjects.Events.Subjects, subjects.Dead.Subjects) {
		p.Subscribe = append(p.Subscribe, subject, strings.TrimSuffix(subject, "v1.>")+">") // of every version
	}
	p.publish(InboxPrefix(UserOperator) + ".>") // `nats server check connection` sends a message to itself
}

func (p *Permissions) migrate() {
	p.publish("$JS.API.INFO", "$JS.API.STREAM.NAMES")
	for _, name := range streamNames() {
		p.publish("$JS.API.STREAM.INFO."+name, "$JS.API.STREAM.CREATE."+name, "$JS.API.STREAM.UPDATE."+name)
		p.publish(privilegedPattern + "STREAM.LEADER.STEPDOWN." + name) // see Balance
	}
	for _, spec := range kv.All() {
		if spec.Storage == kv.Volatile { // recreated if its storage changes
			p.publish(privilegedPattern + "STREAM.DELETE." + spec.Stream())
		}
	}
	for _, c := range subjects.Consumers() {
		p.publish("$JS.API.CONSUMER.CREATE."+c.Stream+".>", "$JS.API.CONSUMER.INFO."+c.Stream+".*")
		p.publish(privilegedPattern + "CONSUMER.LEADER.STEPDOWN." + c.Stream + "." + c.Durable)
	}
}

// streamNames returns the names of all streams, including those of buckets and object stores.
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
