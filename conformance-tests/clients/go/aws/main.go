// The AWS SDK for Go v2: objects in every mode of encryption, its two transfer managers, presigned requests.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sealgate/clients/modes"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var (
	ctx    = context.Background()
	client = s3.NewFromConfig(modes.Must(config.LoadDefaultConfig(ctx)), func(o *s3.Options) { o.UsePathStyle = true })
	bucket = aws.String(modes.Bucket)
)

// A way to encrypt: what a write says, what a read says, and what the answer must be.
type encryption struct {
	algorithm types.ServerSideEncryption
	kmsKey    *string
	customer  bool
}

var (
	byS3  = encryption{algorithm: types.ServerSideEncryptionAes256}
	byKMS = encryption{algorithm: types.ServerSideEncryptionAwsKms, kmsKey: aws.String(modes.KMSKey)}
	byKey = encryption{customer: true}
)

func (e encryption) put(key string, body []byte) *s3.PutObjectInput {
	input := &s3.PutObjectInput{
		Bucket: bucket, Key: &key, Body: bytes.NewReader(body), ServerSideEncryption: e.algorithm, SSEKMSKeyId: e.kmsKey,
		Metadata: map[string]string{"written-by": "go"}, ContentType: aws.String("text/x-go"),
	}
	input.SSECustomerAlgorithm, input.SSECustomerKey, input.SSECustomerKeyMD5 = e.headers()
	return input
}

func (e encryption) get(key string) *s3.GetObjectInput {
	input := &s3.GetObjectInput{Bucket: bucket, Key: &key}
	input.SSECustomerAlgorithm, input.SSECustomerKey, input.SSECustomerKeyMD5 = e.headers()
	return input
}

func (e encryption) headers() (algorithm, key, digest *string) {
	if !e.customer {
		return nil, nil, nil
	}
	return aws.String("AES256"), aws.String(modes.CustomerKeyBase64()), aws.String(modes.CustomerKeyMD5())
}

func (e encryption) check(key string, body []byte) {
	got := modes.Must(client.GetObject(ctx, e.get(key)))
	modes.Same(key, got.Body, body)
	modes.Equal("metadata", got.Metadata["written-by"], "go")
	modes.Equal("content type", aws.ToString(got.ContentType), "text/x-go")
	modes.Equal("encryption", got.ServerSideEncryption, e.algorithm)
	modes.Equal("KMS key", aws.ToString(got.SSEKMSKeyId), aws.ToString(e.kmsKey))
	if e.customer {
		modes.Equal("MD5 of the key", aws.ToString(got.SSECustomerKeyMD5), modes.CustomerKeyMD5())
		_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
		modes.Refused("a read without the key", err)
	}
}

func (e encryption) object(key string) func() {
	return func() {
		body := modes.Content(modes.Small)
		modes.Must(client.PutObject(ctx, e.put(key, body)))
		e.check(key, body)
	}
}

func multipart() {
	body := modes.Content(modes.Large)
	uploader := manager.NewUploader(client)
	for number, e := range []encryption{byS3, byKMS, byKey} {
		key := fmt.Sprintf("multipart-%d", number)
		modes.Must(uploader.Upload(ctx, e.put(key, body)))
		e.check(key, body)
		into := manager.NewWriteAtBuffer(nil)
		modes.Must(manager.NewDownloader(client).Download(ctx, into, e.get(key)))
		modes.Same(key, bytes.NewReader(into.Bytes()), body)
	}
}

func ranged() {
	body := modes.Content(modes.Large)
	for number, e := range []encryption{byS3, byKMS, byKey} {
		input := e.get(fmt.Sprintf("multipart-%d", number))
		input.Range = aws.String("bytes=8388000-8389000")
		got := modes.Must(client.GetObject(ctx, input))
		modes.Equal("range", aws.ToString(got.ContentRange), fmt.Sprintf("bytes 8388000-8389000/%d", modes.Large))
		modes.Same("range", got.Body, body[8388000:8389001])
		input.Range = nil
		input.PartNumber = aws.Int32(2)
		modes.Equal("parts", aws.ToInt32(modes.Must(client.GetObject(ctx, input)).PartsCount), 4)
	}
}

func copied() {
	body := modes.Content(modes.Small)
	for from, source := range map[string]encryption{"sse-s3": byS3, "sse-kms": byKMS, "sse-c": byKey} {
		for to, target := range map[string]encryption{"sse-s3": byS3, "sse-kms": byKMS, "sse-c": byKey} {
			key := from + " to " + to
			input := &s3.CopyObjectInput{
				Bucket: bucket, Key: &key, CopySource: aws.String(modes.Bucket + "/" + from),
				ServerSideEncryption: target.algorithm, SSEKMSKeyId: target.kmsKey,
			}
			input.CopySourceSSECustomerAlgorithm, input.CopySourceSSECustomerKey, input.CopySourceSSECustomerKeyMD5 = source.headers()
			input.SSECustomerAlgorithm, input.SSECustomerKey, input.SSECustomerKeyMD5 = target.headers()
			modes.Must(client.CopyObject(ctx, input))
			target.check(key, body)
		}
	}
}

func presigned() {
	body := modes.Content(modes.Small)
	signer := s3.NewPresignClient(client)
	for number, e := range []encryption{byS3, byKMS, byKey} {
		key := fmt.Sprintf("presigned-%d", number)
		input := e.put(key, body)
		input.Body = nil
		put := modes.Must(signer.PresignPutObject(ctx, input))
		status, answer := modes.Send(put.Method, put.URL, put.SignedHeader, body)
		modes.Equal("status ("+string(answer)+")", status, 200)
		e.check(key, body)
		get := modes.Must(signer.PresignGetObject(ctx, e.get(key)))
		status, answer = modes.Send(get.Method, get.URL, get.SignedHeader, nil)
		modes.Equal("status", status, 200)
		modes.Same(key, bytes.NewReader(answer), body)
	}
}

// A folder up and down by the newer transfer manager, listed page by page and deleted at once.
func work() {
	from, to := modes.Must(os.MkdirTemp("", "")), modes.Must(os.MkdirTemp("", ""))
	defer os.RemoveAll(from)
	defer os.RemoveAll(to)
	lengths := map[string]int{"a": 0, "b c": modes.Small, "large": modes.Large, "umläut+plus": 7}
	for name, length := range lengths {
		modes.Check(os.WriteFile(filepath.Join(from, name), modes.Content(length), 0o600))
	}
	transfers := transfermanager.New(client)
	modes.Must(transfers.UploadDirectory(ctx, &transfermanager.UploadDirectoryInput{
		Bucket: bucket, Source: &from, KeyPrefix: aws.String("folder/"),
	}))
	modes.Must(transfers.DownloadDirectory(ctx, &transfermanager.DownloadDirectoryInput{
		Bucket: bucket, Destination: &to, KeyPrefix: aws.String("folder/"),
	}))
	for name, length := range lengths {
		file := modes.Must(os.Open(filepath.Join(to, name)))
		modes.Same(name, file, modes.Content(length))
		modes.Check(file.Close())
	}
	var keys []types.ObjectIdentifier
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
		Bucket: bucket, Prefix: aws.String("folder/"), MaxKeys: aws.Int32(3),
	})
	for pages.HasMorePages() {
		for _, object := range modes.Must(pages.NextPage(ctx)).Contents {
			keys = append(keys, types.ObjectIdentifier{Key: object.Key})
		}
	}
	modes.Equal("keys listed", len(keys), len(lengths))
	deleted := modes.Must(client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: bucket, Delete: &types.Delete{Objects: keys},
	}))
	modes.Equal("keys deleted", len(deleted.Deleted), len(lengths))
	_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("folder/a")})
	modes.Refused("a read of what is deleted", err)
}

func main() {
	modes.Run(
		modes.Mode{Name: "sse-s3", Run: byS3.object("sse-s3")},
		modes.Mode{Name: "sse-kms", Run: byKMS.object("sse-kms")},
		modes.Mode{Name: "sse-c", Run: byKey.object("sse-c")},
		modes.Mode{Name: "multipart", Run: multipart},
		modes.Mode{Name: "range", Run: ranged},
		modes.Mode{Name: "copy", Run: copied},
		modes.Mode{Name: "presign", Run: presigned},
		modes.Mode{Name: "work", Run: work},
	)
}
