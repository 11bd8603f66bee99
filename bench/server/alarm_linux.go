package server

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerFD is a kernel timer that Go's poller waits for, so that no thread sleeps on it.
type timerFD struct {
	fd   int
	file *os.File
}

func newAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	return &timerFD{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (t *timerFD) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, d.Nanoseconds()))} // 0 would disarm it
	_ = unix.TimerfdSettime(t.fd, 0, &spec, nil)                                 // fails only for values out of range
}

func (t *timerFD) wait() error {
	var times [8]byte
	_, err := t.file.Read(times[:])
	return err
}
