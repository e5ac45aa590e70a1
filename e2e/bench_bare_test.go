package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// bareEnv makes the test binary run one of the two baselines that the gateway is compared with, in a process of its own:
// "handler", a plain HTTP handler, or "bridge", a handler that makes a request to an embedded NATS server where a subscriber
// echoes it. Both respond with bareReply and check nothing.
const bareEnv = "WEFT_BENCH_BARE"

// bareReply has the size of a user profile.
var bareReply = []byte(`{"id":"019ab0de-0000-7000-8000-000000000000","email":"019ab0de-0000-4000-8000-000000000000@example.com",` +
	`"email_verified":false,"first_name":"","last_name":"","locale":"en","time_zone":"UTC","roles":["user"],` +
	`"created_at":"2026-11-23T20:00:00.000000Z"}` + "\n")

// serveBare runs a baseline until it fails, and returns the exit code.
func serveBare(kind string) int {
	handler := http.HandlerFunc(bareHandler)
	if kind == "bridge" {
		conn, err := startEcho()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		handler = bridgeHandler(conn)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	line, err := json.Marshal(ready{Ready: true, HTTP: "http://" + listener.Addr().String()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(string(line))
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	fmt.Fprintln(os.Stderr, web.Serve(listener))
	return 1
}

func bareHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bareReply)
}

// startEcho starts a NATS server without accounts and JetStream, with an echo subscriber over loopback TCP, and returns a
// second connection.
func startEcho() (*nats.Conn, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true})
	if err != nil {
		return nil, fmt.Errorf("creating a server: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the server is not ready")
	}
	echo, err := nats.Connect(s.ClientURL())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if _, err := echo.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	if err := echo.Flush(); err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	return nats.Connect(s.ClientURL())
}

func bridgeHandler(conn *nats.Conn) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply, err := conn.Request("echo", bareReply, 10*time.Second)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(reply.Data)
	}
}
