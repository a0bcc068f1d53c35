// SPDX-License-Identifier: MIT

//go:build !small

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

// As the C and Python servers of these tests tell it: "ADDRESS PORT PID".
func who(w http.ResponseWriter, r *http.Request) {
	address, port, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintln(w, address, port, os.Getpid())
}

func hello(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "hello")
}

func serveHTTP(handler http.HandlerFunc) func(net.Listener) {
	return func(l net.Listener) {
		if err := http.Serve(l, handler); !errors.Is(err, net.ErrClosed) {
			fmt.Println("error", err)
		}
	}
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	t := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serveTLS(l net.Listener) {
	serveRaw(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate()}}))
}

func init() {
	modes["http"] = serveHTTP(who)
	modes["quiet"] = serveHTTP(hello)
	modes["tls"] = serveTLS
}
