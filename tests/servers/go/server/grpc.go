// SPDX-License-Identifier: MIT

//go:build grpc

package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

func whoAmI(_ interface{}, ctx context.Context, decode func(interface{}) error,
	_ grpc.UnaryServerInterceptor) (interface{}, error) {
	var asked wrappers.StringValue
	if err := decode(&asked); err != nil {
		return nil, err
	}
	p, _ := peer.FromContext(ctx)
	return &wrappers.StringValue{Value: p.Addr.String()}, nil
}

func serveGRPC(l net.Listener) {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Who",
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Am", Handler: whoAmI}},
	}, nil)
	if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		fmt.Println("error", err)
	}
}

func init() {
	modes["grpc"] = serveGRPC
}
