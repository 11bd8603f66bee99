//go:build !linux

package server

import "time"

// plain is the time package's timer, as exact as that is here.
type plain struct{ timer *time.Timer }

func newAlarm() (alarm, error) { return &plain{time.NewTimer(time.Hour)}, nil }

func (p *plain) set(d time.Duration) { p.timer.Reset(d) }

func (p *plain) wait() error {
	<-p.timer.C
	return nil
}
