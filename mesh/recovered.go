package mesh

import (
	"fmt"
	"runtime/debug"
)

// Recovered calls f and returns a panic of it as an error with the stack. A goroutine that handles what users have sent needs it: a panic that
// no function of the goroutine recovers ends the process.
func Recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// Recovered is Recovered, and counts the panic under the name of an actor or of the gateway.
func (t *Telemetry) Recovered(actor string, f func() error) error {
	panicked := true
	err := Recovered(func() error {
		err := f()
		panicked = false
		return err
	})
	if panicked {
		t.panics.WithLabelValues(actor).Inc()
	}
	return err
}
