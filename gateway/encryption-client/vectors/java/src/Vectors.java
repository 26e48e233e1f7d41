import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.encryption.s3.CommitmentPolicy;
import software.amazon.encryption.s3.S3EncryptionClient;
import software.amazon.encryption.s3.algorithms.AlgorithmSuite;
import software.amazon.encryption.s3.internal.InstructionFileConfig;
import software.amazon.encryption.s3.materials.AesKeyring;
import software.amazon.encryption.s3.materials.Keyring;
import software.amazon.encryption.s3.materials.KmsKeyring;
import software.amazon.encryption.s3.materials.PartialRsaKeyPair;
import software.amazon.encryption.s3.materials.RsaKeyring;

/**
 * Makes vectors with the Amazon S3 Encryption Client for Java ({@code Vectors make FOLDER PEM}), or has it open those of others
 * ({@code Vectors open FOLDER PEM}), or works both ways with the program {@code sealgate} ({@code Vectors live SEALGATE PEM}), against a gateway that has the bucket and the key of {@code make_with_python.py}.
 */
public class Vectors {
    static final String BUCKET = "vectors";
    static final String KMS_KEY = "alias/vectors";
    static final byte[] AES_KEY = new byte[32];
    static final ObjectMapper JSON = new ObjectMapper()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS);
    static final URI ENDPOINT = URI.create(System.getenv("AWS_ENDPOINT_URL"));
    static final S3Client S3 = S3Client.builder().endpointOverride(ENDPOINT).forcePathStyle(true).build();
    static final S3AsyncClient S3_ASYNC = S3AsyncClient.builder().endpointOverride(ENDPOINT).forcePathStyle(true).build();
    static final KmsClient KMS = KmsClient.builder().endpointOverride(ENDPOINT).build();

    static byte[] body(int length) {
        byte[] body = new byte[length];
        for (int i = 0; i < length; i++) {
            body[i] = (byte) (i * 31 + i / 251);
        }
        return body;
    }

    static KeyPair rsa(String pem) throws Exception {
        String text = pem.lines().filter(line -> !line.startsWith("-")).collect(Collectors.joining());
        KeyFactory factory = KeyFactory.getInstance("RSA");
        RSAPrivateCrtKey secret = (RSAPrivateCrtKey) factory.generatePrivate(
                new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
        return new KeyPair(
                factory.generatePublic(new RSAPublicKeySpec(secret.getModulus(), secret.getPublicExponent())), secret);
    }

    static S3EncryptionClient client(String version, String kind, String pem, boolean instructed) throws Exception {
        Keyring keyring = switch (kind) {
            case "kms" -> KmsKeyring.builder().kmsClient(KMS).wrappingKeyId(KMS_KEY).build();
            case "aes" -> AesKeyring.builder().wrappingKey(new SecretKeySpec(AES_KEY, "AES")).build();
            default -> {
                KeyPair pair = rsa(pem);
                yield RsaKeyring.builder().wrappingKeyPair(new PartialRsaKeyPair(pair.getPrivate(), pair.getPublic())).build();
            }
        };
        var builder = S3EncryptionClient.builderV4()
                .wrappedClient(S3)
                .wrappedAsyncClient(S3_ASYNC)
                .setBufferSize(128L << 20)
                .keyring(keyring)
                .instructionFileConfig(
                        InstructionFileConfig.builder().instructionFileClient(S3).enableInstructionFilePutObject(instructed).build());
        if (version.equals("V2")) {
            builder.encryptionAlgorithm(AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF)
                    .commitmentPolicy(CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT);
        }
        return builder.build();
    }

    static String text(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static void make(Path folder, String pem) throws Exception {
        for (String version : List.of("V3", "V2")) {
            for (String kind : List.of("kms", "aes", "rsa")) {
                for (int length : new int[] {0, 1, 1000, 17}) {
                    boolean instructed = length == 17;
                    String name = "java-" + version + "-" + kind + "-" + (instructed ? "file" : length);
                    client(version, kind, pem, instructed)
                            .putObject(request -> request.bucket(BUCKET).key(name), RequestBody.fromBytes(body(length)));
                    save(folder, name.toLowerCase(), vector(name, version, kind, pem, length));
                }
            }
        }
    }

    static Map<String, Object> vector(String name, String version, String kind, String pem, int length) throws Exception {
        var stored = S3.getObjectAsBytes(request -> request.bucket(BUCKET).key(name));
        Map<String, String> metadata = new TreeMap<>(stored.response().metadata());
        Map<String, String> all = new TreeMap<>(metadata);
        Map<String, Object> vector = new TreeMap<>();
        try {
            String file = S3.getObjectAsBytes(request -> request.bucket(BUCKET).key(name + ".instruction")).asUtf8String();
            all.putAll(JSON.readValue(file, Map.class));
            vector.put("instruction_file", file);
        } catch (NoSuchKeyException none) {
            vector.put("instruction_file", null);
        }
        Map<String, Object> keys = new TreeMap<>(Map.of("kind", kind));
        if (kind.equals("kms")) {
            String wrapped = all.getOrDefault("x-amz-3", all.get("x-amz-key-v2"));
            Map<String, String> context = JSON.readValue(all.getOrDefault("x-amz-t", all.get("x-amz-matdesc")), Map.class);
            byte[] blob = Base64.getDecoder().decode(wrapped);
            var opened = KMS.decrypt(request -> request.ciphertextBlob(SdkBytes.fromByteArray(blob)).encryptionContext(context));
            keys.put("key_id", KMS_KEY);
            keys.put("data_key", text(opened.plaintext().asByteArray()));
            keys.put("stored_context", context);
        } else if (kind.equals("aes")) {
            keys.put("key", text(AES_KEY));
        } else {
            keys.put("private_key", pem);
        }
        vector.put("made_by", "amazon-s3-encryption-client-java 4.0.0");
        vector.put("version", version);
        vector.put("keyring", keys);
        vector.put("context", Map.of());
        vector.put("metadata", metadata);
        vector.put("body", text(stored.asByteArray()));
        vector.put("plain_len", length);
        return vector;
    }

    static void save(Path folder, String name, Map<String, Object> vector) throws Exception {
        Files.writeString(folder.resolve(name + ".json"), JSON.writeValueAsString(vector) + "\n");
    }

    static void open(Path folder, String pem) throws Exception {
        int opened = 0;
        List<Path> files;
        try (var listed = Files.list(folder)) {
            files = listed.filter(file -> file.toString().endsWith(".json")).sorted().toList();
        }
        for (Path file : files) {
            Map<String, Object> vector = JSON.readValue(Files.readString(file), Map.class);
            Map<String, Object> keys = (Map<String, Object>) vector.get("keyring");
            if (!((Map<String, Object>) vector.get("context")).isEmpty()) {
                continue; // A context is given by a request of the client's own, which the Python client tries.
            }
            String name = file.getFileName().toString().replace(".json", "");
            byte[] body = Base64.getDecoder().decode((String) vector.get("body"));
            S3.putObject(
                    request -> request.bucket(BUCKET).key(name).metadata((Map<String, String>) vector.get("metadata")),
                    RequestBody.fromBytes(body));
            if (vector.get("instruction_file") != null) {
                S3.putObject(
                        request -> request.bucket(BUCKET).key(name + ".instruction").metadata(Map.of("x-amz-crypto-instr-file", "")),
                        RequestBody.fromString((String) vector.get("instruction_file")));
            }
            byte[] read = client((String) vector.get("version"), (String) keys.get("kind"), pem, false)
                    .getObjectAsBytes(request -> request.bucket(BUCKET).key(name))
                    .asByteArray();
            if (!Arrays.equals(read, body((int) vector.get("plain_len")))) {
                throw new AssertionError(name);
            }
            opened++;
        }
        System.out.println(opened + " opened");
    }

    /** What this client seals, {@code sealgate cse} opens, and the other way round. */
    static void live(String program, String pem, String pemFile) throws Exception {
        Path key = Files.createTempFile("aes", "");
        Files.write(key, AES_KEY);
        Map<String, List<String>> flags = Map.of(
                "kms", List.of("--kms-key", KMS_KEY),
                "aes", List.of("--aes-key", key.toString()),
                "rsa", List.of("--rsa-key", pemFile));
        int count = 0;
        for (String version : List.of("V3", "V2")) {
            String policy = version.equals("V3") ? "require-encrypt-require-decrypt" : "forbid-encrypt-allow-decrypt";
            for (String kind : List.of("kms", "aes", "rsa")) {
                for (int length : new int[] {0, 1, 16, 65_537, 5 << 20, (5 << 20) + 1, 8 << 20, (8 << 20) + 1, 100 << 20}) {
                    boolean instructed = length % 2 == 1;
                    S3EncryptionClient client = client(version, kind, pem, instructed);
                    String name = version + "-" + kind + "-" + length;
                    client.putObject(request -> request.bucket(BUCKET).key(name), RequestBody.fromBytes(body(length)));
                    Path file = Files.createTempFile("body", "");
                    List<String> common = new java.util.ArrayList<>(flags.get(kind));
                    common.addAll(List.of("--commitment-policy", policy));
                    run(program, List.of("get", "s3://" + BUCKET + "/" + name, file.toString()), common);
                    if (!Arrays.equals(Files.readAllBytes(file), body(length))) {
                        throw new AssertionError("sealgate cse opens " + name);
                    }
                    if (instructed) {
                        common.add("--instruction-file");
                    }
                    run(program, List.of("put", file.toString(), "s3://" + BUCKET + "/ours"), common);
                    Files.delete(file);
                    byte[] read = client(version, kind, pem, false)
                            .getObjectAsBytes(request -> request.bucket(BUCKET).key("ours"))
                            .asByteArray();
                    if (!Arrays.equals(read, body(length))) {
                        throw new AssertionError("the Java client opens " + name);
                    }
                    S3.deleteObject(request -> request.bucket(BUCKET).key("ours.instruction"));
                    count++;
                }
            }
        }
        Files.delete(key);
        System.out.println(count + " both ways");
    }

    static void run(String program, List<String> command, List<String> flags) throws Exception {
        List<String> all = new java.util.ArrayList<>(List.of(program, "cse"));
        all.addAll(command);
        all.addAll(flags);
        int code = new ProcessBuilder(all).inheritIO().start().waitFor();
        if (code != 0) {
            throw new AssertionError(all + " ended with " + code);
        }
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < AES_KEY.length; i++) {
            AES_KEY[i] = (byte) i;
        }
        String pem = Files.readString(Path.of(arguments[2]));
        if (arguments[0].equals("make")) {
            make(Path.of(arguments[1]), pem);
        } else if (arguments[0].equals("live")) {
            live(arguments[1], pem, arguments[2]);
        } else {
            open(Path.of(arguments[1]), pem);
        }
        System.exit(0);
    }
}
