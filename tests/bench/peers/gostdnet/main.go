// gostdnet is a plain TCP proxy on Go's net package, for comparison. Each
// connection has two goroutines, each of which copies one direction through a
// buffer of 16 KB from a pool. A hash of the client's address picks the upstream.
//
//	gostdnet -listen 127.0.0.1:5201 -upstreams 127.0.1.1:7000,127.0.1.2:7000
package main

import (
	"flag"
	"hash/fnv"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"
)

const bufferSize = 16 << 10

var pool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyDirection copies from src to dst until src ends, then ends dst's stream.
// The wrappers hide ReadFrom and WriteTo, which would splice past the buffer.
func copyDirection(dst, src *net.TCPConn) {
	buffer := pool.Get().(*[bufferSize]byte)
	_, err := io.CopyBuffer(struct{ io.Writer }{dst},
		struct{ io.Reader }{src}, buffer[:])
	pool.Put(buffer)
	if err != nil { // broken: the other direction ends as well
		dst.Close()
		src.Close()
		return
	}
	dst.CloseWrite()
}

func pick(upstreams []string, client *net.TCPConn) string {
	hash := fnv.New32a()
	hash.Write(client.RemoteAddr().(*net.TCPAddr).IP.To16())
	return upstreams[hash.Sum32()%uint32(len(upstreams))]
}

func serve(client *net.TCPConn, upstream string) {
	defer client.Close()
	conn, err := net.Dial("tcp", upstream)
	if err != nil {
		log.Print(err)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		copyDirection(client, server)
		close(done)
	}()
	copyDirection(server, client)
	<-done
}

func main() {
	listen := flag.String("listen", "127.0.0.1:5201", "where to accept")
	list := flag.String("upstreams", "127.0.1.1:7000", "comma-separated")
	flag.Parse()
	upstreams := strings.Split(*list, ",")

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil { // such as too many open files: retry later
			log.Print(err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		client := conn.(*net.TCPConn)
		go serve(client, pick(upstreams, client))
	}
}
