package mesh

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// HeaderRoom is the maximum size of a message's headers in bytes. The server's limit is MaxPayload plus HeaderRoom.
const HeaderRoom = 64 << 10

// responseExpiry is how long a request may be answered. It exceeds the longest timeout of an endpoint.
const responseExpiry = subjects.MaxTimeout + subjects.MaxTimeout/5

// KeyVariable is the variable of local.conf that holds a user's public nkey.
func KeyVariable(user string) string { return "WEFT_" + strings.ToUpper(user) + "_NKEY" }

const confHead = `# weft's NATS server. Generated from the contract by "make generate"; do not edit.
#
# The server embedded in "weft up" uses exactly this file. To run a server of your own:
#
#     weft nats-init DIR               writes this file, local.conf, privileged.conf and the users' keys
#     nats-server -c DIR/nats.conf
#
# local.conf has what differs between machines: ports, folders, how often writes are synced, and each user's public nkey. It holds
# no secret; privileged.conf does. To configure anything else (a cluster, leaf nodes, TLS), write a file of your own that begins with
# "include nats.conf".
#
# Users that are not listed here cannot connect. Subjects that are not listed for a user are denied.

include ./local.conf

host: $WEFT_NATS_HOST
port: $WEFT_NATS_PORT

# 1 MiB of payload and 64 KiB of headers.
max_payload: $WEFT_MAX_PAYLOAD

jetstream {
  store_dir: $WEFT_STORE_DIR
  # always: an acknowledged write survives a power failure. A duration: writes of the last interval may be lost.
  sync_interval: $WEFT_SYNC
}

system_account: SYS

accounts {
  SYS {
    users: [ { nkey: $WEFT_SYS_NKEY } ]
    # The server writes what it answers to a request to any reply subject, also to one of JetStream's API. So requests that need no
    # content are carried out only on subjects that contain the requester's token (privileged.conf, which is secret).
    mappings: {
%s      include ./privileged.conf
    }
  }
  WEFT {
    jetstream: enabled
    users: [
`

// RenderConf renders nats.conf: one account with a user for each actor, the gateway, the operator, migrate, backup and the enrolled users, each
// with the least permissions that it needs. It contains no secret.
func RenderConf(enrolled ...Enrolled) string {
	var b strings.Builder
	var denied strings.Builder
	for _, request := range deniedRequests {
		fmt.Fprintf(&denied, "      %q: %q\n", apiPrefix+request, deniedTarget)
	}
	fmt.Fprintf(&b, confHead, denied.String())
	for _, user := range Users() {
		renderUser(&b, user, "$"+KeyVariable(user), "", PermissionsOf(user))
	}
	for _, e := range enrolled {
		renderUser(&b, e.User(), e.Key, e.connection(), e.Permissions())
	}
	b.WriteString("    ]\n  }\n}\n")
	return b.String()
}

// renderUser renders a user. connection is the only type of connection that it may use; empty allows every type.
func renderUser(b *strings.Builder, user, key, connection string, p Permissions) {
	fmt.Fprintf(b, "      # %s\n      {\n        nkey: %s\n", user, key)
	if connection != "" {
		fmt.Fprintf(b, "        allowed_connection_types: [ %s ]\n", connection)
	}
	b.WriteString("        permissions: {\n")
	renderList(b, "publish", p.Publish)
	renderList(b, "subscribe", p.Subscribe)
	if p.Responses {
		fmt.Fprintf(b, "          allow_responses: { max: 1, expires: %q }\n", responseExpiry)
	}
	b.WriteString("        }\n      }\n")
}

func renderList(b *strings.Builder, name string, list []string) {
	fmt.Fprintf(b, "          %s: { allow: [\n", name)
	for _, subject := range list {
		fmt.Fprintf(b, "            %q\n", subject)
	}
	b.WriteString("          ] }\n")
}
