package http1

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// idle are the connections on which no request is made.
type idle struct {
	most  int           // of them
	limit time.Duration // of the time that one is kept; 0: none

	mu    sync.Mutex // guards the fields below
	conns []*conn    // the one that was used last is the last
	timer *time.Timer
}

// newIdle returns none yet, of which as many are kept as a transport keeps.
func newIdle(t *http.Transport) idle {
	most := t.MaxIdleConnsPerHost
	if most == 0 {
		most = http.DefaultMaxIdleConnsPerHost
	}
	if t.MaxIdleConns > 0 {
		most = min(most, t.MaxIdleConns)
	}
	return idle{most: most, limit: t.IdleConnTimeout}
}

// take takes the one that was used last and is alive; nil: there is none.
func (p *idle) take() *conn {
	for {
		cn := p.last()
		if cn == nil || !p.outlived(cn) && cn.alive() {
			return cn
		}
		_ = cn.raw.Close()
	}
}

// outlived reports whether a connection has been idle for too long by the clock on the wall. The
// timer stands still while the machine sleeps, and the other end may be long gone then.
func (p *idle) outlived(cn *conn) bool {
	return p.limit > 0 && time.Now().Round(0).Sub(cn.since.Round(0)) > p.limit
}

func (p *idle) last() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.conns) - 1
	if n < 0 {
		return nil
	}
	cn := p.conns[n]
	p.conns[n], p.conns = nil, p.conns[:n]
	return cn
}

// put keeps a connection, or closes it if there are enough.
func (p *idle) put(cn *conn) {
	if !p.keep(cn) {
		_ = cn.stream.Close()
	}
}

func (p *idle) keep(cn *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) >= p.most {
		return false
	}
	p.conns = append(p.conns, cn)
	if p.limit > 0 {
		cn.since = time.Now()
		if p.timer == nil {
			p.timer = time.AfterFunc(p.limit, p.expire)
		}
	}
	return true
}

// expire closes those that have been idle for too long.
func (p *idle) expire() {
	for _, cn := range p.expired() {
		_ = cn.stream.Close()
	}
}

func (p *idle) expired() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := slices.IndexFunc(p.conns, func(cn *conn) bool { return time.Since(cn.since) < p.limit })
	if old < 0 {
		old = len(p.conns)
	}
	gone := slices.Clone(p.conns[:old])
	p.conns = slices.Delete(p.conns, 0, old)
	if p.timer = nil; len(p.conns) > 0 {
		p.timer = time.AfterFunc(p.limit-time.Since(p.conns[0].since), p.expire)
	}
	return gone
}
