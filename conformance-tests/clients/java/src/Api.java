import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.CopyObjectRequest;
import software.amazon.awssdk.services.s3.model.CreateMultipartUploadRequest;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.UploadPartRequest;
import software.amazon.awssdk.transfer.s3.S3TransferManager;
import software.amazon.awssdk.transfer.s3.model.CopyRequest;
import software.amazon.awssdk.transfer.s3.model.DownloadRequest;
import software.amazon.awssdk.transfer.s3.model.UploadRequest;

/** What each kind of client of the SDK does its own way. */
interface Api {
    long PART_LENGTH = 5 << 20;
    URI ENDPOINT = URI.create(System.getenv("AWS_ENDPOINT_URL"));

    void put(PutObjectRequest request, byte[] body) throws Exception;

    /** In parts, where the client does not cut a long body by itself. */
    void putLarge(PutObjectRequest request, byte[] body) throws Exception;

    ResponseBytes<GetObjectResponse> get(GetObjectRequest request) throws Exception;

    void copy(CopyObjectRequest request) throws Exception;

    static S3Client syncClient() {
        return S3Client.builder().forcePathStyle(true).build();
    }

    static S3AsyncClient asyncClient() {
        return S3AsyncClient.builder().forcePathStyle(true).multipartEnabled(true)
                .multipartConfiguration(parts -> parts.minimumPartSizeInBytes(PART_LENGTH).thresholdInBytes(PART_LENGTH)).build();
    }

    static S3AsyncClient crtClient() {
        return S3AsyncClient.crtBuilder().forcePathStyle(true).endpointOverride(ENDPOINT).minimumPartSizeInBytes(PART_LENGTH)
                .thresholdInBytes(PART_LENGTH).build();
    }

    /** The value of a future; what it failed with, where it did. */
    static <T> T done(Future<T> future) throws Exception {
        try {
            return future.get();
        } catch (ExecutionException failed) {
            throw failed.getCause() instanceof Exception cause ? cause : failed;
        }
    }

    /** S3Client: one request at a time. */
    record Sync(S3Client client) implements Api {
        @Override
        public void put(PutObjectRequest request, byte[] body) {
            client.putObject(request, RequestBody.fromBytes(body));
        }

        @Override
        public void putLarge(PutObjectRequest request, byte[] body) {
            // Checksums of parts count where the upload says which.
            var create = CreateMultipartUploadRequest.builder().checksumAlgorithm(ChecksumAlgorithm.CRC32).bucket(request.bucket())
                    .key(request.key()).metadata(request.metadata())
                    .contentType(request.contentType()).serverSideEncryption(request.serverSideEncryption())
                    .ssekmsKeyId(request.ssekmsKeyId()).sseCustomerAlgorithm(request.sseCustomerAlgorithm())
                    .sseCustomerKey(request.sseCustomerKey()).sseCustomerKeyMD5(request.sseCustomerKeyMD5()).build();
            var uploadId = client.createMultipartUpload(create).uploadId();
            var count = (int) ((body.length + PART_LENGTH - 1) / PART_LENGTH);
            List<CompletedPart> parts = IntStream.rangeClosed(1, count).mapToObj(number -> {
                var from = (number - 1) * (int) PART_LENGTH;
                var part = java.util.Arrays.copyOfRange(body, from, (int) Math.min(from + PART_LENGTH, body.length));
                var upload = UploadPartRequest.builder().bucket(request.bucket()).key(request.key()).uploadId(uploadId).partNumber(number)
                        .sseCustomerAlgorithm(request.sseCustomerAlgorithm()).sseCustomerKey(request.sseCustomerKey())
                        .sseCustomerKeyMD5(request.sseCustomerKeyMD5()).build();
                var written = client.uploadPart(upload, RequestBody.fromBytes(part));
                return CompletedPart.builder().partNumber(number).eTag(written.eTag()).checksumCRC32(written.checksumCRC32()).build();
            }).toList();
            client.completeMultipartUpload(complete -> complete.bucket(request.bucket()).key(request.key()).uploadId(uploadId)
                    .sseCustomerAlgorithm(request.sseCustomerAlgorithm()).sseCustomerKey(request.sseCustomerKey())
                    .sseCustomerKeyMD5(request.sseCustomerKeyMD5()).multipartUpload(whole -> whole.parts(parts)));
        }

        @Override
        public ResponseBytes<GetObjectResponse> get(GetObjectRequest request) {
            return client.getObject(request, ResponseTransformer.toBytes());
        }

        @Override
        public void copy(CopyObjectRequest request) {
            client.copyObject(request);
        }
    }

    /** S3AsyncClient, on Netty or on the common runtime: long bodies go and come in parts by themselves. */
    record Async(S3AsyncClient client) implements Api {
        @Override
        public void put(PutObjectRequest request, byte[] body) throws Exception {
            done(client.putObject(request, AsyncRequestBody.fromBytes(body)));
        }

        @Override
        public void putLarge(PutObjectRequest request, byte[] body) throws Exception {
            put(request, body);
        }

        @Override
        public ResponseBytes<GetObjectResponse> get(GetObjectRequest request) throws Exception {
            return done(client.getObject(request, AsyncResponseTransformer.toBytes()));
        }

        @Override
        public void copy(CopyObjectRequest request) throws Exception {
            done(client.copyObject(request));
        }
    }

    /** S3TransferManager. */
    record Transfer(S3TransferManager manager) implements Api {
        @Override
        public void put(PutObjectRequest request, byte[] body) throws Exception {
            var upload = UploadRequest.builder().putObjectRequest(request).requestBody(AsyncRequestBody.fromBytes(body)).build();
            done(manager.upload(upload).completionFuture());
        }

        @Override
        public void putLarge(PutObjectRequest request, byte[] body) throws Exception {
            put(request, body);
        }

        @Override
        public ResponseBytes<GetObjectResponse> get(GetObjectRequest request) throws Exception {
            var download = DownloadRequest.builder().getObjectRequest(request).responseTransformer(
                    AsyncResponseTransformer.<GetObjectResponse>toBytes()).build();
            return done(manager.download(download).completionFuture()).result();
        }

        @Override
        public void copy(CopyObjectRequest request) throws Exception {
            done(manager.copy(CopyRequest.builder().copyObjectRequest(request).build()).completionFuture());
        }
    }

    /** How objects are encrypted: the headers of a write, of a read and of a copy's source. */
    enum Encryption {
        S3("sse-s3"), KMS("sse-kms"), CUSTOMER("sse-c");

        static final byte[] CUSTOMER_KEY = new byte[32];
        static final Map<String, String> METADATA = Map.of("written-by", "java");
        final String mode;

        Encryption(String mode) {
            this.mode = mode;
        }

        String algorithm() {
            return this == S3 ? "AES256" : this == KMS ? "aws:kms" : null;
        }

        String kmsKey() {
            return this == KMS ? System.getenv("CLIENT_KMS_KEY") : null;
        }

        String customerAlgorithm() {
            return this == CUSTOMER ? "AES256" : null;
        }

        String customerKey() {
            return this == CUSTOMER ? Main.base64(CUSTOMER_KEY) : null;
        }

        String customerKeyMd5() {
            return this == CUSTOMER ? Main.base64(Main.digest("MD5", CUSTOMER_KEY)) : null;
        }

        PutObjectRequest put(String key) {
            return PutObjectRequest.builder().bucket(Main.BUCKET).key(key).metadata(METADATA).contentType("text/x-java")
                    .serverSideEncryption(algorithm()).ssekmsKeyId(kmsKey()).sseCustomerAlgorithm(customerAlgorithm())
                    .sseCustomerKey(customerKey()).sseCustomerKeyMD5(customerKeyMd5()).build();
        }

        GetObjectRequest get(String key, String range) {
            return GetObjectRequest.builder().bucket(Main.BUCKET).key(key).range(range).sseCustomerAlgorithm(customerAlgorithm())
                    .sseCustomerKey(customerKey()).sseCustomerKeyMD5(customerKeyMd5()).build();
        }

        CopyObjectRequest copy(String from, Encryption source, String to) {
            return CopyObjectRequest.builder().sourceBucket(Main.BUCKET).sourceKey(from).destinationBucket(Main.BUCKET).destinationKey(to)
                    .copySourceSSECustomerAlgorithm(source.customerAlgorithm()).copySourceSSECustomerKey(source.customerKey())
                    .copySourceSSECustomerKeyMD5(source.customerKeyMd5()).serverSideEncryption(algorithm()).ssekmsKeyId(kmsKey())
                    .sseCustomerAlgorithm(customerAlgorithm()).sseCustomerKey(customerKey()).sseCustomerKeyMD5(customerKeyMd5()).build();
        }
    }
}
