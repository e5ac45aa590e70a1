package mesh

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// apiPrefix is what the subjects of JetStream's API begin with.
const apiPrefix = "$JS.API."

// deniedTarget is a subject without subscribers.
const deniedTarget = "weft.denied"

// deniedRequests are the requests of JetStream's API that an empty message can make, which the server itself sends to any reply subject that
// the requester of a pull names, and those that no user needs. The server carries them out only on a privileged subject.
var deniedRequests = []string{
	"STREAM.DELETE.*", "STREAM.PURGE.*", "STREAM.SNAPSHOT.*", "STREAM.RESTORE.*", "STREAM.CANCEL_MOVE.*", "STREAM.LEADER.STEPDOWN.*",
	"STREAM.PEER.REMOVE.*", "STREAM.PEER.EVACUATE.*", "CONSUMER.DELETE.*.*", "CONSUMER.PAUSE.*.*", "CONSUMER.RESET.*.*",
	"CONSUMER.UNPIN.*.*", "CONSUMER.LEADER.STEPDOWN.*.*", "CONSUMER.PEER.REMOVE.*.*", "CONSUMER.PEER.EVACUATE.*.*",
}

// privilegedPattern begins the permission for a privileged request: the subject has the user's token in the place of "*".
const privilegedPattern = apiPrefix + "*."

// RenderPrivileged renders privileged.conf, which nats.conf includes in the system account's subject mappings: for each user, the
// privileged requests that its permissions list. A privileged request is one on $JS.API.<token>.<request>. The token is derived from the
// user's nkey seed, so that nobody else can name the subject, as a reply subject for example. tokens has the token of each user. At an
// edge node, the edge itself may purge its outbox with the token of the system user. The file is secret.
func RenderPrivileged(tokens map[string]string, edge bool) string {
	var b strings.Builder
	b.WriteString("# Subjects of privileged requests to JetStream. Written by weft at each start; secret.\n\n")
	for _, user := range Users() {
		for _, subject := range PermissionsOf(user).Publish {
			if request, ok := strings.CutPrefix(subject, privilegedPattern); ok {
				fmt.Fprintf(&b, "%q: %q\n", apiPrefix+tokens[user]+"."+request, apiPrefix+request)
			}
		}
	}
	if edge {
		request := "STREAM.PURGE." + subjects.EdgeOutboxStream
		fmt.Fprintf(&b, "%q: %q\n", apiPrefix+tokens[UserSystem]+"."+request, apiPrefix+request)
	}
	return b.String()
}
