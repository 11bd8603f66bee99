// Package chaos is a bad network on loopback: a proxy between HTTP/1.1 clients and
// a server that resets connections, lets answers hang, and cuts them in half. It
// tells which exchanges it did not let pass unharmed, so that a test can ask of
// each consequence whether the network explains it.
package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Span is a range of times, of which a random one is taken each time.
type Span struct{ Least, Most time.Duration }

func (s Span) pick(r *rand.Rand) time.Duration {
	return s.Least + time.Duration(r.Float64()*float64(s.Most-s.Least))
}

// Faults say what goes wrong, and how often. The zero value lets everything pass.
type Faults struct {
	Waves Span    // from one wave of resets to the next; zero: there are none
	Hit   float64 // share of the open connections that a wave resets

	Stall    float64 // share of answers that hang, half of them at the beginning and half in the middle
	StallFor Span    // how long a connection passes nothing then

	Cut float64 // share of answers of which half arrives before the connection ends
}

// Counts are what a proxy has done.
type Counts struct {
	Connections int64
	Exchanges   int64 // requests that it passed on
	Resets      int64 // connections reset, busy or idle
	Lost        int64 // of those, with a request whose answer had not arrived
	Stalls      int64
	Cuts        int64
}

// A Harm is what happened to an exchange.
type Harm string

// The harms.
const (
	Lost    Harm = "lost"    // the connection was reset before the answer had arrived; the request may have had its effect
	Stalled Harm = "stalled" // the answer arrived late, if its reader had that patience
	Cut     Harm = "cut"     // half of the answer arrived
)

// An Exchange is a request and its answer, as far as there was one.
type Exchange struct {
	Operation string // X-Amz-Target of the request
	Request   []byte // its body
	Answer    []byte // body; nil: the proxy had none when the harm was done
}

// A Proxy passes connections on to a server. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener
	server   string
	faults   Faults
	seed     uint64
	harmed   func(Harm, Exchange)

	connections, exchanges, resets, lost, stalls, cuts atomic.Int64

	links sync.WaitGroup
	mu    sync.Mutex // guards open
	open  map[*link]struct{}
}

// Listen returns a proxy on a free port of loopback that passes connections on to
// the server at that address once it serves. The seed decides what happens to
// which connection, counted in the order of their arrival. harmed is told of each
// exchange that did not pass unharmed, by several goroutines; nil: nobody is.
func Listen(ctx context.Context, server string, seed uint64, faults Faults, harmed func(Harm, Exchange)) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a proxy: %w", err)
	}
	if harmed == nil {
		harmed = func(Harm, Exchange) {}
	}
	return &Proxy{listener: listener, server: server, faults: faults, seed: seed, harmed: harmed, open: map[*link]struct{}{}}, nil
}

// Address returns where the proxy listens, as host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Counts returns what the proxy has done so far.
func (p *Proxy) Counts() Counts {
	return Counts{
		Connections: p.connections.Load(), Exchanges: p.exchanges.Load(), Resets: p.resets.Load(),
		Lost: p.lost.Load(), Stalls: p.stalls.Load(), Cuts: p.cuts.Load(),
	}
}

// Serve passes connections on until ctx is done, and then resets those that are
// left. It returns when all of the proxy's goroutines have ended, with the error
// that kept it from accepting more connections, if it was not the end of ctx.
func (p *Proxy) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.links.Go(func() {
		<-ctx.Done()
		_ = p.listener.Close()
	})
	p.links.Go(func() { p.storm(ctx) })
	err := p.accept(ctx)
	cancel()
	for _, l := range p.all() {
		l.end(true)
	}
	p.links.Wait()
	return err
}

func (p *Proxy) accept(ctx context.Context) error {
	for {
		client, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = client.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting a connection: %w", err)
		}
		number := p.connections.Add(1)
		p.links.Go(func() { p.connect(ctx, client, uint64(number)) })
	}
}

// connect joins a client to the server until either is gone.
func (p *Proxy) connect(ctx context.Context, client net.Conn, number uint64) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return // as if nobody listened: the client sees its connection end
	}
	l := &link{p: p, number: number, client: client, server: server, rand: rand.New(rand.NewPCG(p.seed, number)), over: make(chan struct{})}
	p.enter(l)
	defer p.leave(l)
	if ctx.Err() != nil {
		return // the last wave of resets may have gone by without it
	}
	l.run()
}

func (p *Proxy) enter(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[l] = struct{}{}
}

func (p *Proxy) leave(l *link) {
	l.end(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, l)
}

// storm sends the waves of resets.
func (p *Proxy) storm(ctx context.Context) {
	if p.faults.Waves.Most <= 0 {
		return
	}
	const own = 0 // connections are numbered from 1
	r := rand.New(rand.NewPCG(p.seed, own))
	for {
		wave := time.NewTimer(p.faults.Waves.pick(r))
		select {
		case <-wave.C:
			for _, l := range p.all() {
				if r.Float64() < p.faults.Hit {
					l.reset()
				}
			}
		case <-ctx.Done():
			wave.Stop()
			return
		}
	}
}

// all returns the open connections, in the order of their arrival: the dice are
// thrown in that order.
func (p *Proxy) all() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Keys(p.open), func(a, b *link) int { return cmp.Compare(a.number, b.number) })
}
