package actortest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// Example runs f for a runnable example, which has no *testing.T of its own. Failures are written to standard output, so that they
// fail the example; logs are discarded.
func Example(f func(t testing.TB)) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &exampleTB{ctx: ctx}
	defer t.cleanUp()
	defer cancel()
	done := make(chan struct{})
	go func() { // FailNow ends this goroutine
		defer close(done)
		f(t)
	}()
	<-done
}

// exampleTB implements those methods of testing.TB that this package and zaptest use; the others panic.
type exampleTB struct {
	testing.TB
	ctx      context.Context //nolint:containedctx // what Context returns
	failed   bool
	cleanups []func()
}

func (t *exampleTB) cleanUp() {
	for _, cleanup := range slices.Backward(t.cleanups) {
		cleanup()
	}
}

func (t *exampleTB) Name() string             { return "Example" }
func (t *exampleTB) Context() context.Context { return t.ctx }
func (t *exampleTB) Helper()                  {}
func (t *exampleTB) Log(...any)               {}
func (t *exampleTB) Logf(string, ...any)      {}
func (t *exampleTB) Failed() bool             { return t.failed }
func (t *exampleTB) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Fail()                    { t.failed = true }

func (t *exampleTB) FailNow() {
	t.Fail()
	runtime.Goexit()
}

func (t *exampleTB) Error(args ...any) {
	t.Fail()
	_, _ = fmt.Fprintln(os.Stdout, args...)
}

func (t *exampleTB) Errorf(format string, args ...any) { t.Error(fmt.Sprintf(format, args...)) }

func (t *exampleTB) Fatal(args ...any) {
	t.Error(args...)
	t.FailNow()
}

func (t *exampleTB) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "weft-example-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
