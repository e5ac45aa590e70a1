//go:build torture

package engine

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// crashAt and crashLeft are where this process kills itself: WEFT_TORTURE_CRASH=point:n, when it reaches the point for the nth time.
var (
	crashAt   crashpoint
	crashLeft atomic.Int64
	readCrash = sync.OnceFunc(func() {
		point, count, _ := strings.Cut(os.Getenv("WEFT_TORTURE_CRASH"), ":")
		if n, err := strconv.ParseInt(count, 10, 64); err == nil {
			crashLeft.Store(n)
			crashAt = crashpoint(point)
		}
	})
)

func reach(at crashpoint) {
	readCrash()
	if at == crashAt && crashLeft.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
