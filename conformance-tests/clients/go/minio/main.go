// minio-go, which mc and many servers speak S3 with: objects in every mode of encryption, streams of unknown length, composed objects.
package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"sealgate/clients/modes"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

var (
	ctx    = context.Background()
	at     = modes.Must(url.Parse(modes.Endpoint))
	client = modes.Must(minio.New(at.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: at.Scheme == "https"}))

	byS3  = encrypt.NewSSE()
	byKMS = modes.Must(encrypt.NewSSEKMS(modes.KMSKey, map[string]string{"purpose": "clients"}))
	byKey = modes.Must(encrypt.NewSSEC(modes.CustomerKey))
	all   = map[string]encrypt.ServerSide{"sse-s3": byS3, "sse-kms": byKMS, "sse-c": byKey}
)

// What a read says: SSE-C's key, and nothing of the others.
func reading(e encrypt.ServerSide) encrypt.ServerSide {
	if e.Type() == encrypt.SSEC {
		return e
	}
	return nil
}

func write(key string, e encrypt.ServerSide, body []byte, length int64) {
	options := minio.PutObjectOptions{
		ServerSideEncryption: e, UserMetadata: map[string]string{"written-by": "minio-go"}, PartSize: 5 << 20,
	}
	modes.Must(client.PutObject(ctx, modes.Bucket, key, bytes.NewReader(body), length, options))
}

func check(key string, e encrypt.ServerSide, body []byte) {
	object := modes.Must(client.GetObject(ctx, modes.Bucket, key, minio.GetObjectOptions{ServerSideEncryption: reading(e)}))
	modes.Same(key, object, body)
	told := modes.Must(object.Stat())
	modes.Equal("metadata", told.UserMetadata["Written-By"], "minio-go")
	want := map[encrypt.Type]string{encrypt.S3: "AES256", encrypt.KMS: "aws:kms", encrypt.SSEC: ""}[e.Type()]
	modes.Equal("encryption", told.Metadata.Get("x-amz-server-side-encryption"), want)
	if e.Type() == encrypt.SSEC {
		_, err := client.StatObject(ctx, modes.Bucket, key, minio.StatObjectOptions{})
		modes.Refused("a read without the key", err)
	}
}

func object(key string) func() {
	return func() {
		body := modes.Content(modes.Small)
		write(key, all[key], body, modes.Small)
		check(key, all[key], body)
	}
}

// Parts of a stream whose length nobody knows, then a second time with the length told.
func multipart() {
	body := modes.Content(modes.Large)
	for name, e := range all {
		write("stream "+name, e, body, -1)
		check("stream "+name, e, body)
		write("multipart "+name, e, body, modes.Large)
		check("multipart "+name, e, body)
	}
}

func ranged() {
	for name, e := range all {
		options := minio.GetObjectOptions{ServerSideEncryption: reading(e)}
		modes.Check(options.SetRange(5242000, 5243999))
		part := modes.Must(client.GetObject(ctx, modes.Bucket, "multipart "+name, options))
		modes.Same("range of "+name, part, modes.Content(modes.Large)[5242000:5244000])
		whole := modes.Must(client.GetObject(ctx, modes.Bucket, "multipart "+name, minio.GetObjectOptions{ServerSideEncryption: reading(e)}))
		into := make([]byte, 1000)
		modes.Must(whole.ReadAt(into, 10_000_000))
		modes.Same("bytes within "+name, bytes.NewReader(into), modes.Content(modes.Large)[10_000_000:10_001_000])
	}
}

func copied() {
	for from, source := range all {
		for to, target := range all {
			key := from + " to " + to
			by := minio.CopySrcOptions{Bucket: modes.Bucket, Object: from}
			if source.Type() == encrypt.SSEC {
				by.Encryption = encrypt.SSECopy(source)
			}
			modes.Must(client.CopyObject(ctx, minio.CopyDestOptions{Bucket: modes.Bucket, Object: key, Encryption: target}, by))
			check(key, target, modes.Content(modes.Small))
			// Composed of two objects, which copies parts.
			large := minio.CopySrcOptions{Bucket: modes.Bucket, Object: "multipart " + from, Encryption: by.Encryption}
			both := minio.CopyDestOptions{Bucket: modes.Bucket, Object: "both " + key, Encryption: target}
			modes.Must(client.ComposeObject(ctx, both, large, by))
			composed := modes.Must(client.GetObject(ctx, modes.Bucket, "both "+key, minio.GetObjectOptions{ServerSideEncryption: reading(target)}))
			modes.Same("both "+key, composed, append(modes.Content(modes.Large), modes.Content(modes.Small)...))
		}
	}
}

func presigned() {
	body := modes.Content(modes.Small)
	put := modes.Must(client.PresignedPutObject(ctx, modes.Bucket, "presigned", time.Minute))
	status, answer := modes.Send("PUT", put.String(), nil, body)
	modes.Equal("status ("+string(answer)+")", status, 200)
	get := modes.Must(client.PresignedGetObject(ctx, modes.Bucket, "presigned", time.Minute, url.Values{
		"response-content-type": {"text/x-asked"},
	}))
	status, answer = modes.Send("GET", get.String(), nil, nil)
	modes.Equal("status", status, 200)
	modes.Same("presigned", bytes.NewReader(answer), body)
}

// A bucket of its own with versions: objects listed, their versions deleted, the bucket removed.
func work() {
	own := modes.Bucket + "-versions"
	modes.Check(client.MakeBucket(ctx, own, minio.MakeBucketOptions{Region: "us-east-1"}))
	modes.Check(client.EnableVersioning(ctx, own))
	for round := range 3 {
		for number := range 5 {
			body := modes.Content(100 + round)
			key := fmt.Sprintf("folder %d/käy+%d", number%2, number)
			modes.Must(client.PutObject(ctx, own, key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}))
		}
	}
	versions := make(chan minio.ObjectInfo)
	count := 0
	go func() {
		defer close(versions)
		for version := range client.ListObjects(ctx, own, minio.ListObjectsOptions{Recursive: true, WithVersions: true, MaxKeys: 4}) {
			count++
			versions <- version
		}
	}()
	for failed := range client.RemoveObjects(ctx, own, versions, minio.RemoveObjectsOptions{}) {
		panic(failed.Err)
	}
	modes.Equal("versions", count, 15)
	modes.Check(client.RemoveBucket(ctx, own))
}

func main() {
	modes.Run(
		modes.Mode{Name: "sse-s3", Run: object("sse-s3")},
		modes.Mode{Name: "sse-kms", Run: object("sse-kms")},
		modes.Mode{Name: "sse-c", Run: object("sse-c")},
		modes.Mode{Name: "multipart", Run: multipart},
		modes.Mode{Name: "range", Run: ranged},
		modes.Mode{Name: "copy", Run: copied},
		modes.Mode{Name: "presign", Run: presigned},
		modes.Mode{Name: "work", Run: work},
	)
}
