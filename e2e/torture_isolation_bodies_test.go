//go:build torture

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bodyAttacks make weft hold requests, responses and connections. Most need no account.
func bodyAttacks() []attack {
	return []attack{
		{name: "bodies without an account", run: attackWithBodies},
		{name: "messages over NATS", run: attackWithMessages},
		{name: "connections that stay open", run: together(attackWithSlowBodies, attackWithConnections)},
		{name: "requests that wait", run: attackWithWaitingRequests},
		{name: "files", run: attackWithFiles},
	}
}

// largeBodies have a megabyte in ten shapes.
func largeBodies() [][]byte {
	fill := func(before, unit, after string) []byte {
		return []byte(before + strings.Repeat(unit, ((1<<20)-len(before)-len(after)-200)/len(unit)) + after)
	}
	return [][]byte{
		fill(`{"token":"x","x":[`, "1,", "1]}"), fill(`{"x":[`, "[],", "0]}"), fill(`{"x":[`, "{},", "0]}"), fill(`{"x":`, "[", ""), fill(`{"x":`, `{"a":`, ""), fill(`{"x":"`, "a", `"}`),
		fill(`{"x":"`, `\u0041`, `"}`), fill("{", `"x":1,`, `"x":1}`), fill(`{"email":[`, `"",`, `""]}`), fill(`{"email":"a@example.com","password":"`, "Aa1!", `"}`),
	}
}

// openPaths accept bodies without an account.
var openPaths = []string{
	"/v1/auth/login", "/v1/auth/register", "/v1/auth/token/refresh", "/v1/auth/password/reset", "/v1/auth/email/verify", "/v1/auth/mfa/verify",
	"/v1/hooks/http/00000000-0000-0000-0000-000000000000", "/v1/hooks/github/00000000-0000-0000-0000-000000000000", "/v1/auth/passkeys/login/finish", "/v1/auth/password/forgot",
}

// attackWithBodies sends two hundred large bodies at once, without an account and then with one, from twenty addresses.
func attackWithBodies(b *attackers) {
	bodies := largeBodies()
	var clients []*client
	for n := range 20 {
		clients = append(clients, &client{url: b.target.URL, http: &http.Client{Transport: transportFrom(fmt.Sprintf("127.0.2.%d", n+1))}})
	}
	closed := []string{"/v1/workflows", "/v1/workflows/validate", "/v1/notifications", "/v1/integrations", "/v1/consents", "/v1/events"}
	b.crowd(200, func(n int) bool {
		c, path := clients[n%len(clients)], openPaths[n/10%len(openPaths)]
		if n%8 == 7 {
			c, path = b.user(n), closed[n/8%len(closed)]
		}
		b.send(c, "post", http.MethodPost, path, bodies[n%len(bodies)])
		return b.pause()
	})
}

// attackWithMessages sends the bodies as requests over NATS, as the operator's tools do for a user.
func attackWithMessages(b *attackers) {
	conn, err := dialNATS(b.target.NATS, b.target.Keys, mesh.UserOperator, nats.MaxReconnects(0))
	if err != nil {
		b.t.Error(err)
		return
	}
	defer conn.Close()
	bodies := largeBodies()
	names := []string{subjects.Login.Subject, subjects.Register.Subject, subjects.ValidateWorkflow.Subject, subjects.CreateWorkflow.Subject, subjects.PublishEvent.Subject}
	b.crowd(100, func(n int) bool {
		m := nats.NewMsg(names[n/10%len(names)])
		m.Data = bodies[n%len(bodies)]
		m.Header.Set("Authorization", "Bearer "+b.user(n).token)
		_, err := conn.RequestMsgWithContext(b.ctx, m)
		b.count(fmt.Sprintf("message (%.30v)", err), 0)
		return b.pause()
	})
}

// attackWithSlowBodies sends most of a body at once and the rest byte by byte.
func attackWithSlowBodies(b *attackers) {
	bodies := largeBodies()
	b.crowd(200, func(n int) bool {
		path, authorization := openPaths[n%len(openPaths)], ""
		if n%4 == 0 {
			path, authorization = []string{"/v1/workflows/validate", "/v1/events", "/v1/objects?name=a"}[n/4%3], "Authorization: Bearer "+b.user(n).token+"\r\n"
		}
		body := bodies[n%len(bodies)]
		b.raw(n, func(conn net.Conn) {
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: weft\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, authorization, len(body)+100)
			_, _ = conn.Write(body)
			for b.pauseFor(time.Second) {
				if _, err := conn.Write([]byte(" ")); err != nil {
					return
				}
			}
		})
		return true
	})
}

// attackWithConnections opens more than a thousand connections: idle, with half a request that arrives slowly, and with a stream of events.
func attackWithConnections(b *attackers) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for n := range 200 {
		streams.Go(func() {
			for b.ctx.Err() == nil {
				b.hold(b.user(n), "/v1/notifications/stream")
				b.pauseFor(time.Second)
			}
		})
	}
	b.crowd(1200, func(n int) bool {
		b.pauseFor(time.Duration(n%1200) * time.Millisecond)
		b.raw(n, func(conn net.Conn) {
			if n%2 == 0 {
				_, _ = fmt.Fprint(conn, "GET /v1/users/me HTTP/1.1\r\nHost: weft\r\n")
			}
			for b.pauseFor(time.Second) {
				if n%2 == 0 {
					if _, err := fmt.Fprintf(conn, "X-%d: %s\r\n", n, strings.Repeat("a", 100)); err != nil {
						return
					}
				}
			}
		})
		return true
	})
}

// attackWithWaitingRequests makes more requests at a time than an endpoint serves: all of them wait, for an execution or a provider.
func attackWithWaitingRequests(b *attackers) {
	user := b.users[0]
	waiting := b.create(user, b.document("", "- a: {wait: {hours: 1}}"))
	connection := b.send(user, "connections", http.MethodGet, "/v1/integrations", nil).text(".items[0].id")
	execute := "/v1/workflows/" + waiting + "/execute"
	paths := []struct {
		path string
		body object
	}{
		{execute, object{"timeout": 240}}, {execute, object{"timeout": 240}}, {"/v1/integrations/" + connection + "/actions/get", object{"input": object{"path": "/hang"}}},
		{"/v1/integrations/" + connection + "/proxy", object{"method": "GET", "path": "/drip"}}, {"/v1/integrations/" + connection + "/actions/get", object{"input": object{"path": "/large"}}},
	}
	b.crowd(1200, func(n int) bool {
		p := paths[n%len(paths)]
		b.post(user, "wait", p.path, p.body)
		return b.pause()
	})
}

// attackWithFiles uploads files of four megabytes and downloads them slowly.
func attackWithFiles(b *attackers) {
	file := make([]byte, 4<<20)
	_, _ = rand.Read(file)
	b.crowd(modestRequests, func(n int) bool {
		user := b.user(n)
		a := b.send(user, "upload", http.MethodPost, "/v1/objects?name=a", file, "Content-Type: application/octet-stream")
		if id := a.text(".id"); id != "" {
			b.hold(user, "/v1/objects/"+id+"/content")
		}
		return true
	})
}

// hold opens a response and reads it slowly for up to a second.
func (b *attackers) hold(c *client, path string) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		b.t.Error(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	reply, err := c.http.Do(request)
	if err != nil {
		return
	}
	defer func() { _ = reply.Body.Close() }()
	b.count("open", reply.StatusCode)
	for buffer := make([]byte, 64<<10); ; {
		if _, err := io.ReadFull(reply.Body, buffer); err != nil || !b.pause() {
			return
		}
	}
}

// raw opens a connection from one of two hundred addresses and passes it to use. The connection is closed when the attack ends.
func (b *attackers) raw(n int, use func(net.Conn)) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 3, byte(1+n%200))}}
	conn, err := dialer.DialContext(b.ctx, "tcp", strings.TrimPrefix(b.target.URL, "http://"))
	if err != nil {
		b.count("connect", 0)
		b.pause()
		return
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(b.ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	use(conn)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	var answered bytes.Buffer
	_, _ = io.CopyN(&answered, conn, 15)
	status := 0
	if line, _ := bufio.NewReader(&answered).ReadString(0); strings.HasPrefix(line, "HTTP/1.1 ") {
		_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &status)
	}
	b.count("raw", status)
}

// pause waits a tenth of a second; false means that the attack has ended.
func (b *attackers) pause() bool { return b.pauseFor(100 * time.Millisecond) }

// pauseFor waits for a time; false means that the attack has ended.
func (b *attackers) pauseFor(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-b.ctx.Done():
		return false
	}
}
