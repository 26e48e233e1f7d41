// Package modes has what the clients in Go share: where the gateway is, contents, and the line that each mode ends with.
package modes

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"
)

// Small is the length of contents that go in one request, Large of those that go in parts.
const (
	Small = 100_003
	Large = 17<<20 + 5
)

// Bucket exists and is empty; KMSKey is the ARN of a key.
var (
	Bucket   = os.Getenv("CLIENT_BUCKET")
	KMSKey   = os.Getenv("CLIENT_KMS_KEY")
	Endpoint = os.Getenv("AWS_ENDPOINT_URL")
)

// CustomerKey is a key for SSE-C.
var CustomerKey = bytes.Repeat([]byte{0x5a}, 32)

// CustomerKeyBase64 and CustomerKeyMD5 are as the headers of SSE-C want them.
func CustomerKeyBase64() string { return base64.StdEncoding.EncodeToString(CustomerKey) }

// CustomerKeyMD5 is the digest of the key.
func CustomerKeyMD5() string {
	sum := md5.Sum(CustomerKey)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Content is bytes that no other length shares.
func Content(length int) []byte {
	content := make([]byte, length)
	rand.New(rand.NewSource(int64(length))).Read(content)
	return content
}

// Mode is a name, and what is done in it.
type Mode struct {
	Name string
	Run  func()
}

// Run runs the modes in order and prints a line for each.
func Run(modes ...Mode) {
	for _, mode := range modes {
		fmt.Printf("%s: %s\n", mode.Name, outcome(mode.Run))
	}
}

func outcome(run func()) (told string) {
	defer func() {
		if why := recover(); why != nil {
			told = "failed: " + strings.Join(strings.Fields(fmt.Sprint(why)), " ")
		}
	}()
	run()
	return "ok"
}

// Must is the value, if there is no error.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// Check fails the mode where there is an error.
func Check(err error) {
	if err != nil {
		panic(err)
	}
}

// Equal fails the mode where a value is not what it should be.
func Equal[T comparable](what string, got, want T) {
	if got != want {
		panic(fmt.Sprintf("%s is %v, not %v", what, got, want))
	}
}

// Same fails the mode where bytes are not those that were written.
func Same(what string, got io.Reader, want []byte) {
	content := Must(io.ReadAll(got))
	Equal("length of "+what, len(content), len(want))
	Equal("SHA-256 of "+what, sha256.Sum256(content), sha256.Sum256(want))
}

// Refused fails the mode where there is no error.
func Refused(what string, err error) {
	if err == nil {
		panic(what + " is not refused")
	}
}

// Send sends a presigned request as a browser would; answers status and body.
func Send(method, url string, header http.Header, body []byte) (int, []byte) {
	request := Must(http.NewRequest(method, url, bytes.NewReader(body)))
	for name, values := range header {
		if name != "Host" && name != "Content-Length" {
			request.Header[name] = values
		}
	}
	client := http.Client{Timeout: time.Minute}
	answer := Must(client.Do(request))
	defer answer.Body.Close()
	return answer.StatusCode, Must(io.ReadAll(answer.Body))
}
