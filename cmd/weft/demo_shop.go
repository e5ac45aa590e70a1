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

// shopKey is the API key of the demo's shop.
const shopKey = "demo-shop-key-0001"

// shop is an HTTP API that the demo connects to: GET /orders/{id}, authenticated by an API key in a header.
type shop struct {
	url string
	// calls counts the requests for orders.
	calls  atomic.Int64
	server *http.Server
}

// startShop serves the shop on a free loopback port.
func startShop(ctx context.Context) (*shop, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo's shop: %w", err)
	}
	s := &shop{url: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.authenticated(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("GET /orders/{id}", s.authenticated(s.order))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *shop) close() { _ = s.server.Close() }

// authenticated rejects requests without the key.
func (s *shop) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shop-Key") != shopKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// orders are the shop's orders by ID.
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
