package runtime

// idleCrew is how many goroutines wait for the next request.
const idleCrew = 64

// crew runs functions, each at once, on goroutines that wait for the next one when they are done: a stack that has grown
// to what a handler needs is not grown again for each request.
type crew struct {
	idle chan func()
	over chan struct{}
	// waiting holds a token for each goroutine that may wait.
	waiting chan struct{}
}

func newCrew() *crew {
	return &crew{idle: make(chan func()), over: make(chan struct{}), waiting: make(chan struct{}, idleCrew)}
}

// do runs f beside the caller.
func (c *crew) do(f func()) {
	select {
	case c.idle <- f:
	default:
		go c.work(f)
	}
}

func (c *crew) work(f func()) {
	for {
		f()
		select {
		case c.waiting <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-c.idle:
			<-c.waiting
		case <-c.over:
			return
		}
	}
}

// dismiss ends the goroutines that wait.
func (c *crew) dismiss() { close(c.over) }
