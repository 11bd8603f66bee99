package sockets

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A child is a consumer's process.
type child struct {
	number int
	cmd    *exec.Cmd
	stdin  io.Closer     // its end tells the child that its parent has ended
	ready  chan struct{} // closed when a SIGTERM no longer kills it
	gone   chan struct{} // closed when it has ended; then the fields below may be read

	err     error // how it ended
	trouble bytes.Buffer
	ended   time.Time

	signalled time.Time
	held      map[string]bool // messages that it held when it was killed by SIGKILL
}

// A fleet are the consumers' processes, all that there were.
type fleet struct {
	ctx         context.Context // kills those that are left at its end
	spec        spec            // of each but for its number
	endpoint    string
	authorities string // file with the certificates to trust; "": the machine's
	children    []*child
	watchers    sync.WaitGroup
}

// start starts one more child.
func (f *fleet) start() (*child, error) {
	s := f.spec
	s.Number = len(f.children)
	if s.Number%2 == 1 {
		s.Batch = 1
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c := &child{number: s.Number, ready: make(chan struct{}), gone: make(chan struct{})}
	c.cmd = exec.CommandContext(f.ctx, os.Args[0])
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text), "AWS_ENDPOINT_URL_SQS="+f.endpoint,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID="+accessKey+strconv.Itoa(c.number), "AWS_SECRET_ACCESS_KEY=up", "AWS_EC2_METADATA_DISABLED=true")
	if f.authorities != "" {
		c.cmd.Env = append(c.cmd.Env, "AWS_CA_BUNDLE="+f.authorities)
	}
	c.cmd.Stderr = &c.trouble
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting child %d: %w", c.number, err)
	}
	f.children = append(f.children, c)
	f.watchers.Go(func() { c.watch(out) })
	return c, nil
}

// watch waits for what a child has to say, and for its end.
func (c *child) watch(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == ready {
			close(c.ready)
		}
	}
	c.err = c.cmd.Wait()
	c.ended = time.Now()
	close(c.gone)
}

// signal sends a child a signal, once it can take it.
func (c *child) signal(ctx context.Context, sig syscall.Signal) error {
	select {
	case <-c.ready:
	case <-c.gone:
		return fmt.Errorf("child %d has ended by itself: %w\n%s", c.number, c.err, c.trouble.Bytes())
	case <-ctx.Done():
		return fmt.Errorf("waiting for child %d: %w", c.number, ctx.Err())
	}
	c.signalled = time.Now()
	if err := c.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("sending %v to child %d: %w", sig, c.number, err)
	}
	return nil
}

// end waits until all children have ended.
func (f *fleet) end(ctx context.Context) error {
	for _, c := range f.children {
		select {
		case <-c.gone:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of child %d: %w", c.number, ctx.Err())
		}
	}
	return nil
}

// clear kills what is left.
func (f *fleet) clear() {
	for _, c := range f.children {
		_ = c.stdin.Close()
		_ = c.cmd.Process.Kill()
	}
	f.watchers.Wait()
}
