package main

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// halves are the cores of this process in two parts. A machine with one core has none to part.
func halves() (first, second []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, nil, fmt.Errorf("asking for the cores: %w", err)
	}
	var cores []int
	for core := range len(set) * 64 {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	if len(cores) < 2 {
		return nil, nil, fmt.Errorf("the machine has %d core, want 2 or more", len(cores))
	}
	return cores[:len(cores)/2], cores[len(cores)/2:], nil
}

// startOn starts a process that may use only these cores; nil means all. A process gets the cores
// of the thread that starts it, and Go takes their number for its GOMAXPROCS.
func startOn(cores []int, cmd *exec.Cmd) error {
	if cores == nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, some unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("asking for the cores: %w", err)
	}
	for _, core := range cores {
		some.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &some); err != nil {
		return fmt.Errorf("keeping to cores %v: %w", cores, err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }() // these it had
	return cmd.Start()
}
