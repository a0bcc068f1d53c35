// SPDX-License-Identifier: MIT

// A server that says who its client is, in each of the ways in which Go programs serve. Standard library only.
//
// It prints "ready" and what it listens on. SIGHUP starts its successor, which is given the listener, and ends it;
// SIGTERM ends it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	on      = flag.String("listen", "127.0.0.1:0", "address")
	network = flag.String("network", "tcp", "tcp, tcp4, tcp6")
	mode    = flag.String("mode", "raw", "raw, http, quiet (no word of who is there, for speed), tls, twice, blocking, children, grpc if it is built with that tag")
	tell    = flag.Bool("tell", false, "a line for each client")
	profile = flag.String("profile", "", "file: sampled 500 times a second")
	garbage = flag.Int("garbage", 0, "goroutines that make garbage")
	given   = flag.Bool("given", false, "the listener is descriptor 3")
	closes  = flag.Bool("closes", false, "first closes every descriptor that it does not know")
	child   = flag.String("child", "", "a program to be started with the listener in place of this one")
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What comes back is checked by whoever asked: a wrong address is a wrong answer.
func answer(c net.Conn) {
	defer c.Close()
	line := make([]byte, 64)
	n, err := c.Read(line)
	if err != nil {
		return
	}
	var again syscall.Sockaddr
	if raw, ok := c.(*net.TCPConn); ok {
		control, _ := raw.SyscallConn()
		control.Control(func(fd uintptr) { again, _ = syscall.Getpeername(int(fd)) })
		if told := text(again); told != c.RemoteAddr().String() {
			fmt.Fprintf(c, "accept says %s, getpeername %s\n", c.RemoteAddr(), told)
			return
		}
	}
	fmt.Fprintf(c, "%s %s", c.RemoteAddr(), line[:n])
}

func text(a syscall.Sockaddr) string {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	case *syscall.SockaddrInet6:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	}
	return "nobody"
}

// One that prints whom it accepts.
type telling struct {
	net.Listener
}

func (l telling) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		say(c)
	}
	return c, err
}

func say(c net.Conn) {
	address, port, _ := net.SplitHostPort(c.RemoteAddr().String())
	fmt.Println("from", address, port)
}

func serveRaw(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			fmt.Println("error", err)
			return
		}
		go answer(c)
	}
}

// The system calls themselves, on a listener that blocks.
func serveBlocking(l *net.TCPListener) {
	f, err := l.File()
	check(err)
	defer f.Close()
	fd := int(f.Fd()) // and so it blocks
	check(syscall.SetNonblock(fd, false))
	for {
		c, sa, err := syscall.Accept(fd)
		if err != nil {
			continue
		}
		go func() {
			line := make([]byte, 64)
			n, _ := syscall.Read(c, line)
			if n > 0 {
				syscall.Write(c, []byte(text(sa)+" "+string(line[:n])))
			}
			syscall.Close(c)
		}()
	}
}

var kept atomic.Value

func makeGarbage() {
	for i := 0; ; i++ {
		pieces := make([][]byte, 64)
		for p := range pieces {
			pieces[p] = make([]byte, 1024+i%512)
		}
		kept.Store(pieces)
		if i%64 == 0 {
			runtime.GC()
		}
		runtime.Gosched()
	}
}

// Kept, to be given on: if it does not block, the runtime has it in its epoll beside what it accepts from.
var inherited *os.File

func listen() net.Listener {
	if *given {
		inherited = os.NewFile(3, "listener")
		l, err := net.FileListener(inherited)
		check(err)
		return l
	}
	l, err := net.Listen(*network, *on)
	check(err)
	return l
}

func succeed(l net.Listener) {
	program, err := os.Executable()
	check(err)
	if *child != "" {
		program = *child
	}
	f, err := l.(*net.TCPListener).File()
	check(err)
	next := exec.Command(program, "-given", "-mode", *mode, fmt.Sprintf("-tell=%t", *tell))
	next.ExtraFiles = []*os.File{f}
	next.Stdout, next.Stderr = os.Stdout, os.Stderr
	check(next.Start())
}

// Ways to serve that are not in every build.
var modes = map[string]func(net.Listener){}

func serve(l net.Listener) {
	told := l
	if *tell {
		told = telling{l}
	}
	switch *mode {
	case "raw":
		go serveRaw(told)
	case "twice":
		go serveRaw(told)
		go serveRaw(told)
	case "blocking":
		go serveBlocking(l.(*net.TCPListener))
	case "children": // one after the other, while others connect
		go serveRaw(told)
		go startChildren()
	default:
		if modes[*mode] == nil {
			check(fmt.Errorf("no such mode: %s", *mode))
		}
		go modes[*mode](told)
	}
}

func startChildren() {
	for {
		out, err := exec.Command("/bin/echo", "-n").CombinedOutput()
		if err != nil || len(out) != 0 {
			fmt.Fprintf(os.Stderr, "child: %v %q\n", err, out)
		}
	}
}

func main() {
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		check(err)
		runtime.SetCPUProfileRate(500)
		check(pprof.StartCPUProfile(f)) // complains that the rate is set, and keeps it
		defer pprof.StopCPUProfile()
	}
	for i := 0; i < *garbage; i++ {
		go makeGarbage()
	}
	for fd := 3; *closes && fd < 1<<16; fd++ {
		syscall.Close(fd)
	}
	l := listen()
	serve(l)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println("ready", strings.Join([]string{l.Addr().String(), fmt.Sprint(os.Getpid())}, " "))
	if <-signals == syscall.SIGHUP {
		succeed(l)
		l.Close()
		signal.Reset(syscall.SIGTERM)
		time.Sleep(100 * time.Millisecond) // for answers that are on their way
		return
	}
	l.Close()
	io.WriteString(os.Stdout, "ended\n")
}
