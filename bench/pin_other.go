//go:build !linux

package main

import (
	"errors"
	"os/exec"
)

// halves are the cores of this process in two parts, on Linux.
func halves() (first, second []int, err error) {
	return nil, nil, errors.New("only Linux can keep a process to cores")
}

// startOn starts a process.
func startOn(_ []int, cmd *exec.Cmd) error { return cmd.Start() }
