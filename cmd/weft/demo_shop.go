package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// shopKey is the API key that the demo's shop asks for.
const shopKey = "demo-shop-key-0001"

// shop is a small API that stands in for somebody's provider: GET /orders/{id}, with a key in a header.
type shop struct {
	url    string
	calls  atomic.Int64
	server *http.Server
}

// startShop serves the shop on a free port of this machine.
func startShop(ctx context.Context) (*shop, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo's shop: %w", err)
	}
	s := &shop{url: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.keyed(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("GET /orders/{id}", s.keyed(s.order))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *shop) close() { _ = s.server.Close() }

// keyed lets only requests with the key through.
func (s *shop) keyed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shop-Key") != shopKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// orders are what the shop has sold.
var orders = map[string]map[string]any{
	"1001": {"id": "1001", "total": 129.5, "lines": []string{"loom", "shuttle", "yarn"}},
	"1002": {"id": "1002", "total": 12, "lines": []string{"yarn"}},
}

func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	order, ok := orders[r.PathValue("id")]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(order)
}
