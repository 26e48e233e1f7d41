import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/** The AWS SDK for Java v2: `sync`, `async`, `crt` or `transfer`, each in every mode of encryption. */
public class Main {
    static final String BUCKET = System.getenv("CLIENT_BUCKET");
    static final byte[] SMALL = content(100_003);
    static final byte[] LARGE = content((12 << 20) + 5);

    interface Mode {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        var kind = arguments[0];
        var manager = S3TransferManager.builder().s3Client(Api.crtClient()).build();
        var api = switch (kind) {
            case "sync" -> new Api.Sync(Api.syncClient());
            case "async" -> new Api.Async(Api.asyncClient());
            case "crt" -> new Api.Async(Api.crtClient());
            case "transfer" -> new Api.Transfer(manager);
            default -> throw new IllegalArgumentException(kind);
        };
        for (var encryption : Api.Encryption.values()) {
            mode(encryption.mode, () -> {
                api.put(encryption.put(encryption.mode), SMALL);
                check(api, encryption, encryption.mode, SMALL);
            });
        }
        mode("multipart", () -> {
            for (var encryption : Api.Encryption.values()) {
                var key = "multipart " + encryption.mode;
                api.putLarge(encryption.put(key), LARGE);
                check(api, encryption, key, LARGE);
            }
        });
        mode("range", () -> {
            for (var encryption : Api.Encryption.values()) {
                var got = api.get(encryption.get("multipart " + encryption.mode, "bytes=5242000-5243999"));
                same(got.asByteArray(), Arrays.copyOfRange(LARGE, 5242000, 5244000));
            }
        });
        mode("copy", () -> {
            for (var source : Api.Encryption.values()) {
                for (var target : Api.Encryption.values()) {
                    var key = source.mode + " to " + target.mode;
                    api.copy(target.copy(source.mode, source, key));
                    check(api, target, key, SMALL);
                }
            }
        });
        switch (kind) {
            case "sync" -> {
                mode("presign", () -> presigned(api));
                mode("work", Main::listedAndDeleted);
            }
            case "transfer" -> mode("work", () -> folders(manager));
            default -> { }
        }
        // Threads of clients that are never closed would go on.
        System.exit(0);
    }

    static void mode(String name, Mode run) {
        try {
            run.run();
            System.out.println(name + ": ok");
        } catch (Exception | AssertionError failed) {
            System.out.println(name + ": failed: " + failed.toString().replaceAll("\\s+", " "));
        }
    }

    static void check(Api api, Api.Encryption encryption, String key, byte[] body) throws Exception {
        var got = api.get(encryption.get(key, null));
        same(got.asByteArray(), body);
        equal(got.response().metadata(), Api.Encryption.METADATA);
        equal(got.response().contentType(), "text/x-java");
        equal(got.response().serverSideEncryptionAsString(), encryption.algorithm());
        equal(got.response().ssekmsKeyId(), encryption.kmsKey());
        equal(got.response().sseCustomerKeyMD5(), encryption.customerKeyMd5());
        if (encryption == Api.Encryption.CUSTOMER) {
            refused(() -> api.get(Api.Encryption.S3.get(key, null)));
        }
    }

    /** Presigned requests, sent by the HTTP client of the language. */
    static void presigned(Api api) throws Exception {
        var style = S3Configuration.builder().pathStyleAccessEnabled(true).build();
        var http = HttpClient.newHttpClient();
        try (var signer = S3Presigner.builder().serviceConfiguration(style).build()) {
            for (var encryption : Api.Encryption.values()) {
                var key = "presigned " + encryption.mode;
                var put = signer.presignPutObject(
                        asked -> asked.signatureDuration(Duration.ofMinutes(1)).putObjectRequest(encryption.put(key)));
                var sent = HttpRequest.newBuilder(put.url().toURI()).PUT(HttpRequest.BodyPublishers.ofByteArray(SMALL));
                headers(sent, put.signedHeaders());
                var written = http.send(sent.build(), HttpResponse.BodyHandlers.ofString());
                equal(written.statusCode() + written.body(), "200");
                check(api, encryption, key, SMALL);
                var get = signer.presignGetObject(
                        asked -> asked.signatureDuration(Duration.ofMinutes(1)).getObjectRequest(encryption.get(key, null)));
                var asked = HttpRequest.newBuilder(get.url().toURI());
                headers(asked, get.signedHeaders());
                var read = http.send(asked.build(), HttpResponse.BodyHandlers.ofByteArray());
                equal(read.statusCode(), 200);
                same(read.body(), SMALL);
            }
        }
    }

    static void headers(HttpRequest.Builder request, Map<String, java.util.List<String>> signed) {
        signed.forEach((name, values) -> {
            if (!name.equalsIgnoreCase("host") && !name.equalsIgnoreCase("content-length")) {
                values.forEach(value -> request.header(name, value));
            }
        });
    }

    /** Keys that need encoding, listed page by page, written on conditions and deleted at once. */
    static void listedAndDeleted() {
        S3Client client = Api.syncClient();
        for (var number = 0; number < 7; number++) {
            var key = "work/käy+ %&" + number;
            client.putObject(put -> put.bucket(BUCKET).key(key).ifNoneMatch("*"),
                    software.amazon.awssdk.core.sync.RequestBody.fromString(key));
            refused(() -> client.putObject(put -> put.bucket(BUCKET).key(key).ifNoneMatch("*"),
                    software.amazon.awssdk.core.sync.RequestBody.fromString(key)));
            equal(client.getObjectAsBytes(get -> get.bucket(BUCKET).key(key)).asUtf8String(), key);
        }
        var keys = client.listObjectsV2Paginator(list -> list.bucket(BUCKET).prefix("work/").maxKeys(3)).contents().stream()
                .map(object -> ObjectIdentifier.builder().key(object.key()).build()).toList();
        equal(keys.size(), 7);
        var deleted = client.deleteObjects(delete -> delete.bucket(BUCKET).delete(all -> all.objects(keys)));
        equal(deleted.deleted().size(), 7);
        equal(deleted.errors().size(), 0);
        refused(() -> client.headObject(head -> head.bucket(BUCKET).key(keys.get(0).key())));
    }

    /** A folder up and down. */
    static void folders(S3TransferManager manager) throws Exception {
        var from = Files.createTempDirectory("up");
        var to = Files.createTempDirectory("down");
        var files = Map.of("empty", new byte[0], "small + ü", SMALL, "large", LARGE);
        for (var file : files.entrySet()) {
            Files.write(from.resolve(file.getKey()), file.getValue());
        }
        var up = manager.uploadDirectory(asked -> asked.bucket(BUCKET).source(from).s3Prefix("folder"));
        equal(Api.done(up.completionFuture()).failedTransfers().toString(), "[]");
        var down = manager.downloadDirectory(
                asked -> asked.bucket(BUCKET).destination(to).listObjectsV2RequestTransformer(list -> list.prefix("folder/")));
        equal(Api.done(down.completionFuture()).failedTransfers().toString(), "[]");
        for (var file : files.entrySet()) {
            same(Files.readAllBytes(to.resolve(file.getKey())), file.getValue());
            Files.delete(from.resolve(file.getKey()));
            Files.delete(to.resolve(file.getKey()));
        }
        Files.delete(from);
        Files.delete(to);
    }

    static byte[] content(int length) {
        var bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    static byte[] digest(String algorithm, byte[] bytes) {
        try {
            return MessageDigest.getInstance(algorithm).digest(bytes);
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }

    static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static void same(byte[] got, byte[] want) {
        equal(got.length, want.length);
        equal(HexFormat.of().formatHex(digest("SHA-256", got)), HexFormat.of().formatHex(digest("SHA-256", want)));
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError(got + " is not " + want);
        }
    }

    static void refused(Mode run) {
        try {
            run.run();
        } catch (S3Exception refusal) {
            return;
        } catch (Exception other) {
            throw new AssertionError(other);
        }
        throw new AssertionError("not refused");
    }
}
