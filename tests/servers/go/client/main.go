// SPDX-License-Identifier: MIT

// Many connections, each with a header that names a client of its own, and an answer that must name it.
//
// Prints how many connections there were, and how many answers were wrong or did not come; SIGTERM ends it before its
// count. With -logged the answers
// name nobody, and for whom the server's own log must have each of them is printed instead. With -who it opens one
// connection without a header, and prints what the server calls it.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	to      = flag.String("to", "", "address")
	ask     = flag.String("ask", "raw", "raw, http, tls, and grpc if it is built with that tag: who it says we are")
	path    = flag.String("path", "/?%d", "what http asks for; the number of the connection goes in")
	logged  = flag.Bool("logged", false, "N and its client are printed for each that was answered at all")
	who     = flag.Bool("who", false, "one connection, no header: what the server calls us")
	headers = flag.Bool("headers", true, "false: none, and we are who we are")
	count   = flag.Int("count", 1000, "connections")
	beside  = flag.Int("beside", 16, "at a time")
	hold    = flag.Bool("hold", false, "all are open, with half a header, before the first goes on")
	late    = flag.Int("late", 10, "percent that send their header a moment after they connected, or in pieces")
)

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// No two of 131,072 connections say that they come from the same address.
func ip4(i int) net.IP {
	return net.IPv4(198, byte(18+i>>16&1), byte(i>>8), byte(i)).To4()
}

func ip6(i int) net.IP {
	ip := net.ParseIP("2001:db8::").To16()
	binary.BigEndian.PutUint32(ip[12:], uint32(i))
	return ip
}

// A header, and the client it names.
func header(r *rand.Rand, i int) ([]byte, string) {
	ip, own, family, port := ip4(i), net.IPv4(192, 0, 2, 1).To4(), "TCP4", 1+i%65535
	kind := byte(0x11)
	if r.Intn(3) == 0 {
		ip, own, family, kind = ip6(i), ip6(0), "TCP6", 0x21
	}
	client := (&net.TCPAddr{IP: ip, Port: port}).String()
	if r.Intn(2) == 0 {
		return []byte(fmt.Sprintf("PROXY %s %s %s %d 80\r\n", family, ip, own, port)), client
	}
	h := append(append([]byte{}, signature...), 0x21, kind, 0, byte(2*len(ip)+4))
	h = append(append(h, ip...), own...)
	h = binary.BigEndian.AppendUint16(h, uint16(port))
	return binary.BigEndian.AppendUint16(h, 80), client
}

// --- whom a server says it serves ---

// Sends what is left of a header with the first bytes of what comes behind it.
type behind struct {
	net.Conn
	left []byte
}

func (b *behind) Write(bytes []byte) (int, error) {
	left := len(b.left)
	n, err := b.Conn.Write(append(b.left, bytes...))
	b.left = nil
	if n -= left; n < 0 {
		n = 0
	}
	return n, err
}

func askRaw(c net.Conn, i int) (string, error) {
	line := fmt.Sprintf("%d\n", i)
	if _, err := io.WriteString(c, line); err != nil {
		return "", err
	}
	said, err := io.ReadAll(c)
	if err == nil && !strings.HasSuffix(string(said), " "+line) {
		err = fmt.Errorf("another's answer: %q", said)
	}
	return strings.TrimSuffix(string(said), " "+line), err
}

func askTLS(c net.Conn, i int) (string, error) {
	return askRaw(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), i)
}

// "ADDRESS PORT ..." is the answer.
func askHTTP(c net.Conn, i int) (string, error) {
	fmt.Fprintf(c, "GET "+*path+" HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", i, *to)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(r.Body)
	if err != nil || *logged {
		return "", err
	}
	words := strings.Fields(string(said))
	if r.StatusCode != 200 || len(words) < 2 {
		return "", fmt.Errorf("no address: %q", said)
	}
	return net.JoinHostPort(words[0], words[1]), nil
}

var askers = map[string]func(net.Conn, int) (string, error){"raw": askRaw, "tls": askTLS, "http": askHTTP}

// --- one ---

func moment(r *rand.Rand) {
	time.Sleep(time.Duration(r.Intn(3000)) * time.Microsecond)
}

func one(r *rand.Rand, i int, held func()) error {
	h, client := header(r, i)
	c, err := net.Dial("tcp", *to)
	if err != nil {
		held()
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	if !*headers {
		h, client = nil, c.LocalAddr().String()
	}
	sent := 0
	if *hold {
		sent = len(h) / 2
		c.Write(h[:sent])
	}
	held()
	if r.Intn(100) < *late {
		moment(r)
		part := sent
		if len(h) > sent {
			part += r.Intn(len(h) - sent)
		}
		c.Write(h[sent:part])
		sent = part
		moment(r)
	}
	said, err := askers[*ask](&behind{c, h[sent:]}, i)
	if err != nil {
		return err
	}
	if *logged {
		fmt.Println(i, client)
	} else if said != client {
		return fmt.Errorf("%q, not %q", said, client)
	}
	return nil
}

func askWho() {
	c, err := net.Dial("tcp", *to)
	said := ""
	if err == nil {
		c.SetDeadline(time.Now().Add(60 * time.Second))
		said, err = askers[*ask](c, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func main() {
	flag.Parse()
	if askers[*ask] == nil {
		fmt.Fprintln(os.Stderr, "it is not built to ask that way:", *ask)
		os.Exit(2)
	}
	if *who {
		askWho()
		return
	}
	var wrong, asked, next int64
	var all, open sync.WaitGroup
	open.Add(*beside)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	go func() {
		<-ends
		atomic.StoreInt64(&next, int64(*count))
	}()
	for w := 0; w < *beside; w++ {
		all.Add(1)
		go func(w int) {
			defer all.Done()
			r := rand.New(rand.NewSource(int64(w)))
			for {
				i := int(atomic.AddInt64(&next, 1))
				if i > *count {
					return
				}
				atomic.AddInt64(&asked, 1)
				held := func() {}
				if *hold {
					held = func() { open.Done(); open.Wait() }
				}
				if err := one(r, i, held); err != nil {
					if atomic.AddInt64(&wrong, 1) < 10 {
						fmt.Fprintln(os.Stderr, err)
					}
				}
			}
		}(w)
	}
	all.Wait()
	if !*logged {
		fmt.Println(asked, wrong)
	}
}
