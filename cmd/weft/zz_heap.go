package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

func init() {
	dir := "/tmp/heap"
	if _, err := os.Stat(dir); err != nil {
		return
	}
	go func() {
		worst := uint64(0)
		for range time.Tick(300 * time.Millisecond) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			f, _ := os.OpenFile(dir+"/log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			rss, _ := os.ReadFile("/proc/self/statm")
			fmt.Fprintf(f, "%d %s alloc %d sys %d inuse %d stacks %d gor %d rss %s", os.Getpid(), time.Now().Format("05.0"), m.HeapAlloc>>20, m.Sys>>20, m.HeapInuse>>20, m.StackInuse>>20, runtime.NumGoroutine(), rss)
			f.Close()
			if m.HeapAlloc > worst+(20<<20) && m.HeapAlloc > 150<<20 {
				worst = m.HeapAlloc
				g, _ := os.Create(fmt.Sprintf("%s/heap.%d.%d", dir, os.Getpid(), m.HeapAlloc>>20))
				pprof.Lookup("heap").WriteTo(g, 0)
				g.Close()
			}
		}
	}()
}
