// SPDX-License-Identifier: MIT

// Many connections, each with a header that names a client of its own, and an answer that must name it.
//
// Prints how many connections there were, and how many answers were wrong or did not come.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var (
	to     = flag.String("to", "", "address")
	count  = flag.Int("count", 1000, "connections")
	beside = flag.Int("beside", 16, "at a time")
	hold   = flag.Bool("hold", false, "all are open, with half a header, before the first goes on")
	late   = flag.Int("late", 10, "percent that send their header a moment after they connected, or in pieces")
)

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

func ip4(r *rand.Rand) net.IP {
	return net.IPv4(203, byte(r.Intn(256)), byte(r.Intn(256)), byte(1+r.Intn(254))).To4()
}

func ip6(r *rand.Rand) net.IP {
	ip := net.ParseIP("2001:db8::").To16()
	r.Read(ip[6:])
	return ip
}

// A header, and the client it names.
func header(r *rand.Rand) ([]byte, string) {
	ip, own, family, port := ip4(r), ip4(r), "TCP4", 1+r.Intn(65535)
	kind := byte(0x11)
	if r.Intn(3) == 0 {
		ip, own, family, kind = ip6(r), ip6(r), "TCP6", 0x21
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

func moment(r *rand.Rand) {
	time.Sleep(time.Duration(r.Intn(3000)) * time.Microsecond)
}

func one(r *rand.Rand, i int, held func()) error {
	h, client := header(r)
	line := fmt.Sprintf("%d\n", i)
	c, err := net.Dial("tcp", *to)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	sent := 0
	if *hold {
		sent = len(h) / 2
		c.Write(h[:sent])
	}
	held()
	if r.Intn(100) < *late {
		moment(r)
		part := sent + r.Intn(len(h)-sent)
		c.Write(h[sent:part])
		sent = part
		moment(r)
	}
	c.Write(append(h[sent:], line...))
	said, err := io.ReadAll(c)
	if want := client + " " + line; err != nil || string(said) != want {
		return fmt.Errorf("%q, not %q (%v)", said, want, err)
	}
	return nil
}

func main() {
	flag.Parse()
	var wrong, next int64
	var all, open sync.WaitGroup
	open.Add(*beside)
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
	fmt.Println(*count, wrong)
}
