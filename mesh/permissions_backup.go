package mesh

import (
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// listRequests are the requests that describe the account and list its streams. A JetStream client that uses PrivilegedPrefix makes them below it.
var listRequests = []string{"INFO", "STREAM.NAMES", "STREAM.LIST"}

// backup permits reading streams as a whole: their snapshots, and the messages of buckets that were added while a snapshot was made.
func (p *Permissions) backup() {
	for _, request := range listRequests {
		p.publish(apiPrefix+request, privilegedPattern+request)
	}
	for _, name := range streamNames() {
		p.publish(apiPrefix+"STREAM.INFO."+name, privilegedPattern+"STREAM.INFO."+name, privilegedPattern+"STREAM.SNAPSHOT."+name,
			"$JS.SNAPSHOT.ACK."+name+".>")
	}
	for _, spec := range kv.All() {
		p.publish(getSubject(spec.Stream()))
	}
}

// restore permits creating streams, which must not exist, from snapshots.
func (p *Permissions) restore() {
	for _, name := range streamNames() {
		p.publish(privilegedPattern+"STREAM.RESTORE."+name, "$JS.SNAPSHOT.RESTORE."+name+".*")
	}
}

// getSubject is the subject on which a stream's leader answers a get of one message.
func getSubject(stream string) string { return subjects.Stream{Name: stream}.GetSubject() }

// PrivilegedPrefix is what a JetStream client of a user must put in the place of JetStream's usual prefix to make privileged requests. It is as
// secret as the user's nkey seed, from which it is derived.
func PrivilegedPrefix(seed []byte) (string, error) {
	token, err := PrivilegedToken(seed)
	if err != nil {
		return "", err
	}
	return apiPrefix + token, nil
}
