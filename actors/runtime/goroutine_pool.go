package runtime

// maxIdle bounds the goroutines of a pool that wait for the next function.
const maxIdle = 64

// goroutinePool runs each function at once, on an idle goroutine or a new one. Reusing goroutines keeps their stacks, which would
// otherwise grow again for each request.
type goroutinePool struct {
	work   chan func()
	closed chan struct{}
	// idle holds a token for each waiting goroutine.
	idle chan struct{}
}

func newGoroutinePool() *goroutinePool {
	return &goroutinePool{work: make(chan func()), closed: make(chan struct{}), idle: make(chan struct{}, maxIdle)}
}

// do runs f concurrently with the caller.
func (p *goroutinePool) do(f func()) {
	select {
	case p.work <- f:
	default:
		go p.run(f)
	}
}

// run calls f and then further functions, until there are enough idle goroutines or the pool is closed.
func (p *goroutinePool) run(f func()) {
	for {
		f()
		select {
		case p.idle <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-p.work:
			<-p.idle
		case <-p.closed:
			return
		}
	}
}

// close ends the idle goroutines. Functions still run, each on a new goroutine.
func (p *goroutinePool) close() { close(p.closed) }
