// SPDX-License-Identifier: MIT

// Starts another program: starter PROGRAM ARGUMENT..., which it waits for, or starter -exec PROGRAM ARGUMENT..., which
// takes its place. It never listens.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if os.Args[1] == "-exec" {
		check(syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
	}
	child := exec.Command(os.Args[1], os.Args[2:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	var ended *exec.ExitError
	if err := child.Run(); errors.As(err, &ended) {
		os.Exit(ended.ExitCode())
	} else {
		check(err)
	}
}
