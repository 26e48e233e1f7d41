// Makes vectors with the encryption client of the AWS SDK for Go, version 1 (`go run . make FOLDER`), or works both ways with the program
// `sealgate` (`go run . live SEALGATE`), against a gateway that has the bucket and the key of `make_with_python.py`.
//
// The client that came after it, amazon-s3-encryption-client-go, took this one's code and formats.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kms"
	"github.com/aws/aws-sdk-go/service/s3"
	"github.com/aws/aws-sdk-go/service/s3/s3crypto"
)

const (
	bucket = "vectors"
	key    = "alias/vectors"
)

var (
	shared = session.Must(session.NewSession(&aws.Config{
		Endpoint:         aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		S3ForcePathStyle: aws.Bool(true),
	}))
	plain = s3.New(shared)
	keys  = kms.New(shared)
)

func check(err error, doing ...any) {
	if err != nil {
		log.Fatalln(append(doing, err)...)
	}
}

func body(length int) []byte {
	body := make([]byte, length)
	for i := range body {
		body[i] = byte(i*31 + i/251)
	}
	return body
}

// seal has the client put an object: in V2, or in V1 as the oldest clients do (AES-CBC, the wrap `kms`).
func seal(name, version string, instructed bool, body []byte) {
	var save s3crypto.SaveStrategy = s3crypto.HeaderV2SaveStrategy{}
	if instructed {
		save = s3crypto.S3SaveStrategy{Client: plain}
	}
	input := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(name), Body: bytes.NewReader(body)}
	if version == "V1" {
		wrap := s3crypto.NewKMSKeyGenerator(keys, key)
		cipher := s3crypto.AESCBCContentCipherBuilder(wrap, s3crypto.AESCBCPadder)
		client := s3crypto.NewEncryptionClient(shared, cipher, func(c *s3crypto.EncryptionClient) { c.SaveStrategy = save })
		_, err := client.PutObject(input)
		check(err, "sealing", name)
		return
	}
	wrap := s3crypto.NewKMSContextKeyGenerator(keys, key, s3crypto.MaterialDescription{})
	cipher := s3crypto.AESGCMContentCipherBuilderV2(wrap)
	client, err := s3crypto.NewEncryptionClientV2(shared, cipher, func(o *s3crypto.EncryptionClientOptions) { o.SaveStrategy = save })
	check(err)
	_, err = client.PutObject(input)
	check(err, "sealing", name)
}

func open(name string) []byte {
	known := s3crypto.NewCryptoRegistry()
	check(s3crypto.RegisterAESGCMContentCipher(known))
	check(s3crypto.RegisterKMSContextWrapWithCMK(known, keys, key))
	client, err := s3crypto.NewDecryptionClientV2(shared, known)
	check(err)
	object, err := client.GetObject(&s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(name)})
	check(err, "opening", name)
	read, err := io.ReadAll(object.Body)
	check(err, "opening", name)
	return read
}

// stored reads an object as it lies there: its metadata, and its body; nil: there is none.
func stored(name string) (map[string]string, []byte) {
	object, err := plain.GetObject(&s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(name)})
	var failure awserr.Error
	if errors.As(err, &failure) && failure.Code() == s3.ErrCodeNoSuchKey {
		return nil, nil
	}
	check(err, "reading", name)
	read, err := io.ReadAll(object.Body)
	check(err, "reading", name)
	metadata := map[string]string{}
	for name, value := range object.Metadata {
		metadata[strings.ToLower(name)] = *value
	}
	return metadata, read
}

func vector(name, version string, length int) map[string]any {
	metadata, sealed := stored(name)
	_, file := stored(name + ".instruction")
	envelope := metadata
	var instructions any
	if file != nil {
		instructions, envelope = string(file), map[string]string{}
		check(json.Unmarshal(file, &envelope))
	}
	context := map[string]string{}
	check(json.Unmarshal([]byte(envelope["x-amz-matdesc"]), &context))
	wrapped, err := base64.StdEncoding.DecodeString(envelope["x-amz-key-v2"])
	check(err)
	opened, err := keys.Decrypt(&kms.DecryptInput{CiphertextBlob: wrapped, EncryptionContext: aws.StringMap(context)})
	check(err)
	keyring := map[string]any{"kind": "kms", "key_id": key, "data_key": opened.Plaintext, "stored_context": context}
	return map[string]any{
		"made_by": aws.SDKName + " " + aws.SDKVersion, "version": version, "keyring": keyring, "context": map[string]string{},
		"metadata": metadata, "instruction_file": instructions, "body": sealed, "plain_len": length,
	}
}

func makeVectors(folder string) {
	for _, length := range []int{0, 1, 1000, 17} {
		name := fmt.Sprintf("go-v2-kms-%d", length)
		instructed := length == 17
		if instructed {
			name = "go-v2-kms-file"
		}
		seal(name, "V2", instructed, body(length))
		text, err := json.MarshalIndent(vector(name, "V2", length), "", "  ")
		check(err)
		check(os.WriteFile(filepath.Join(folder, name+".json"), append(text, '\n'), 0o644))
	}
}

func sealgate(program string, input []byte, arguments ...string) []byte {
	command := exec.Command(program, append([]string{"cse"}, append(arguments, "--kms-key", key)...)...)
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	output, err := command.Output()
	check(err, arguments)
	return output
}

func expect(read, body []byte, what ...any) {
	if !bytes.Equal(read, body) {
		log.Fatalln(append([]any{"not the same:"}, what...)...)
	}
}

func live(program string) {
	const policy = "--commitment-policy=forbid-encrypt-allow-decrypt"
	count := 0
	for _, length := range []int{0, 1, 16, 65_537, 5 << 20, 5<<20 + 1, 8 << 20, 8<<20 + 1, 100 << 20} {
		for _, instructed := range []bool{false, true} {
			body, what := body(length), []any{length, "bytes, with an instruction file:", instructed}
			seal("theirs", "V2", instructed, body)
			expect(sealgate(program, nil, "get", "s3://vectors/theirs", "-", policy), body, what...)
			arguments := []string{"put", "-", "s3://vectors/ours", policy}
			if instructed {
				arguments = append(arguments, "--instruction-file")
			}
			sealgate(program, body, arguments...)
			expect(open("ours"), body, what...)
			// With a body of AES-CBC, V1 is only to be read, and only where that is asked for.
			seal("oldest", "V1", instructed, body)
			expect(sealgate(program, nil, "get", "s3://vectors/oldest", "-", policy, "--enable-legacy"), body, what...)
			for _, name := range []string{"theirs", "ours", "oldest"} {
				_, err := plain.DeleteObject(&s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(name + ".instruction")})
				check(err)
			}
			count++
		}
	}
	fmt.Println(count, "both ways in V2, and read in V1")
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "make":
		makeVectors(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "live":
		live(os.Args[2])
	default:
		log.Fatalln("say: make FOLDER, or live SEALGATE")
	}
}
