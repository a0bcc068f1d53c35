// SPDX-License-Identifier: MIT

//go:build grpc

package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
)

// A connection of its own for one call; the server says whom its transport serves.
func askGRPC(c net.Conn, i int) (string, error) {
	dialled := false
	dial := func(context.Context, string) (net.Conn, error) {
		if dialled {
			return nil, errors.New("the connection was ended")
		}
		dialled = true
		return c, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client, err := grpc.Dial("server", grpc.WithInsecure(), grpc.WithContextDialer(dial))
	if err != nil {
		return "", err
	}
	defer client.Close()
	var said wrappers.StringValue
	err = client.Invoke(ctx, "/test.Who/Am", &wrappers.StringValue{Value: strconv.Itoa(i)}, &said)
	return said.Value, err
}

func init() {
	askers["grpc"] = askGRPC
}
