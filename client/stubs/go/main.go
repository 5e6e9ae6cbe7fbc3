// Outrigger from a plain generated stub: nothing but grpc-go. How to run it: ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "notes/outrigger/v1"
)

func main() {
	address := "127.0.0.1:7400"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	if err := run(pb.NewStoreClient(connection)); err != nil {
		log.Fatal(err)
	}
}

func run(store pb.StoreClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// A write is answered when the log has it, which is before this node has read it back. Its token says what a read
	// must include, on this node or any other.
	written, err := store.Put(ctx, &pb.PutRequest{Key: []byte("greeting"), Value: []byte("hello")})
	if err != nil {
		return err
	}
	answer, err := store.Get(ctx, &pb.GetRequest{Key: []byte("greeting"), Read: atLeast(written.Token)})
	if err != nil {
		return err
	}
	fmt.Println("greeting:", string(answer.Found.GetValue()))

	// Many writes on one stream. Its last token includes all of them.
	token, err := write(ctx, store, 1000)
	if err != nil {
		return err
	}
	rows, err := count(ctx, store, token)
	if err != nil {
		return err
	}
	fmt.Println("rows:", rows)

	// Whatever fails says why, and whether a write may have happened all the same. No metadata: it may have.
	var plain metadata.MD
	large := &pb.PutRequest{Key: []byte("large"), Value: make([]byte, 1<<20)}
	if _, err := store.Put(ctx, large, grpc.Trailer(&plain)); err != nil {
		fmt.Println(plain.Get("outrigger-reason"), plain.Get("outrigger-may-have-happened"), err)
	}
	return nil
}

func atLeast(token *pb.Token) *pb.ReadOptions {
	return &pb.ReadOptions{Level: pb.Level_LEVEL_AT_LEAST, Token: token}
}

// Sends and receives at the same time: a node stops reading while too many items wait for the log.
func write(ctx context.Context, store pb.StoreClient, count int) (*pb.Token, error) {
	stream, err := store.Write(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		defer stream.CloseSend()
		for number := 0; number < count; number += 250 {
			request := &pb.WriteRequest{}
			for row := number; row < number+250; row++ {
				key := []byte(fmt.Sprintf("row/%05d", row))
				put := &pb.WriteItem_Put{Put: []byte("value")}
				request.Items = append(request.Items, &pb.WriteItem{Key: key, Action: put})
			}
			if stream.Send(request) != nil {
				return // What broke the stream is what the receiver is told.
			}
		}
	}()
	var token *pb.Token
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return token, nil
		}
		if err != nil {
			return nil, err
		}
		for _, reply := range response.Replies {
			if failed := reply.GetError(); failed != nil {
				fmt.Println("not written:", failed.Reason, failed.Message)
			}
		}
		token = response.Token
	}
}

func count(ctx context.Context, store pb.StoreClient, token *pb.Token) (int, error) {
	keys := &pb.ScanRequest_Prefix{Prefix: []byte("row/")}
	stream, err := store.Scan(ctx, &pb.ScanRequest{Keys: keys, Read: atLeast(token)})
	if err != nil {
		return 0, err
	}
	rows := 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return 0, err
		}
		rows += len(response.Rows)
	}
}
