//go:build conformance

package machine

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestConformanceKit runs the scenarios of the specification's conformance test kit (CTK).
func TestConformanceKit(t *testing.T) {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
	}
	ctk := filepath.Join(root, "open-workflow", "ctk")
	if _, err := os.Stat(ctk); err != nil {
		t.Fatalf("the conformance test kit is missing; set WEFT_CONFORMANCE: %v", err)
	}
	server := httptest.NewServer(stubServices())
	t.Cleanup(server.Close)
	if ran := runFeatures(t, ctk, server); ran != 21 {
		t.Fatalf("%d scenarios ran, want 21", ran)
	}
}
