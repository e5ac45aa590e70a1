//go:build conformance

package machine

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestConformanceKit runs the scenarios of the specification's conformance kit.
func TestConformanceKit(t *testing.T) {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
	}
	kit := filepath.Join(root, "open-workflow", "ctk")
	if _, err := os.Stat(kit); err != nil {
		t.Fatalf("the conformance kit is missing; set WEFT_CONFORMANCE: %v", err)
	}
	server := httptest.NewServer(stubServices())
	t.Cleanup(server.Close)
	if ran := runFeatures(t, kit, server); ran != 21 {
		t.Fatalf("%d scenarios ran, want 21", ran)
	}
}
