// SPDX-License-Identifier: MIT

// A server whose successor, at SIGHUP, is given its listener by tableflip, and which ends when it has answered all that
// it had accepted.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/cloudflare/tableflip"
)

var on = flag.String("listen", "127.0.0.1:0", "address")

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(c net.Conn) {
	defer c.Close()
	line := make([]byte, 64)
	if n, err := c.Read(line); err == nil {
		fmt.Fprintf(c, "%s %s", c.RemoteAddr(), line[:n])
	}
}

func serve(l net.Listener, answers *sync.WaitGroup) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		answers.Add(1)
		go func() {
			answer(c)
			answers.Done()
		}()
	}
}

func main() {
	flag.Parse()
	flips, err := tableflip.New(tableflip.Options{})
	check(err)
	l, err := flips.Listen("tcp", *on)
	check(err)
	var answers, accepts sync.WaitGroup
	accepts.Add(1)
	go func() {
		serve(l, &answers)
		accepts.Done()
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM) // before it says that it is ready
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				flips.Stop()
			} else {
				for flips.Upgrade() != nil { // it may not have noticed yet that its own parent has ended
					runtime.Gosched()
				}
			}
		}
	}()
	check(flips.Ready())
	check(flips.WaitForParent(context.Background()))
	fmt.Println("ready", l.Addr(), os.Getpid())
	<-flips.Exit()
	l.Close()
	accepts.Wait()
	answers.Wait()
	fmt.Println("ended", os.Getpid())
}
