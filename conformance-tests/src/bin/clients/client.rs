//! The clients: who they are, what they know, what they need and how they are run.

use std::fmt;

/// Something that clients do with objects. Which of them a client knows is up to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Objects under the gateway's keys.
    SseS3,
    /// Objects under a key of the KMS.
    SseKms,
    /// Objects under the caller's key.
    SseC,
    /// Objects in parts, in every mode of encryption.
    Multipart,
    /// Pieces of objects.
    Range,
    /// Copies within the gateway, from every mode of encryption to every other.
    Copies,
    /// Presigned requests, sent by somebody else.
    Presign,
    /// What the client is for: tables, backups, trees of files.
    Work,
}

impl Mode {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::SseS3,
        Self::SseKms,
        Self::SseC,
        Self::Multipart,
        Self::Range,
        Self::Copies,
        Self::Presign,
        Self::Work,
    ];

    /// As clients call it in the lines that they print.
    pub fn name(self) -> &'static str {
        match self {
            Self::SseS3 => "sse-s3",
            Self::SseKms => "sse-kms",
            Self::SseC => "sse-c",
            Self::Multipart => "multipart",
            Self::Range => "range",
            Self::Copies => "copy",
            Self::Presign => "presign",
            Self::Work => "work",
        }
    }

    /// The head of its column.
    pub fn title(self) -> &'static str {
        match self {
            Self::SseS3 => "SSE-S3",
            Self::SseKms => "SSE-KMS",
            Self::SseC => "SSE-C",
            Self::Multipart => "parts",
            Self::Range => "ranges",
            Self::Copies => "copies",
            Self::Presign => "presigned",
            Self::Work => "own work",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What brings a client onto this system, below the build folder unless Debian does.
#[derive(Debug, Clone, Copy)]
pub enum SetUp {
    /// The packages that the tests in Python use too.
    Python,
    /// An environment of this name with the packages of this file in `clients/python`.
    PythonOf(&'static str),
    /// The packages of `clients/js`.
    Node,
    /// The module in `clients/go`, built.
    Go,
    /// A program from a module at a version.
    GoProgram(&'static str),
    /// The project in `clients/java`, built.
    Maven,
    /// The package in this folder of `clients`, built.
    Cargo(&'static str),
    /// The same over the encryption client; it is told of another S3 too, a SeaweedFS.
    EncryptionClient(&'static str),
    /// Programs of Debian's packages: each a path or a name, and the package that brings it.
    Debian(&'static [(&'static str, &'static str)]),
}

/// A client.
pub struct Client {
    /// What `--only` takes.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// Is it one of the few that the test command runs?
    pub fast: bool,
    /// Does it want TLS for some of what it does?
    pub tls: bool,
    /// What it knows.
    pub modes: &'static [Mode],
    /// What it needs.
    pub set_up: SetUp,
    /// Program and arguments; `{home}` is where it is set up, `{clients}` the folder of the scripts. It runs in a folder of its own.
    pub command: &'static [&'static str],
}

use Mode::{Copies, Multipart, Presign, Range, SseC, SseKms, SseS3, Work};

const ENCRYPTIONS_AND_ALL: &[Mode] = &Mode::ALL;
const NO_PRESIGN: &[Mode] = &[SseS3, SseKms, SseC, Multipart, Range, Copies, Work];
const OBJECTS: &[Mode] = &[SseS3, SseKms, SseC, Multipart, Range, Copies];
const NO_CUSTOMER_KEYS: &[Mode] = &[SseS3, SseKms, Multipart, Range, Copies, Presign, Work];
const CLASSES: &str = "{home}/target/classes:{home}/target/dependency/*";

/// Every client, in the order of the table.
pub const CLIENTS: &[Client] = &[
    Client {
        name: "boto3",
        title: "boto3",
        fast: true,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Python,
        command: &["{home}/python", "{clients}/python/with_boto3.py"],
    },
    Client {
        name: "javascript",
        title: "AWS SDK for JavaScript v3",
        fast: true,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Node,
        command: &["node", "{clients}/js/s3.mjs"],
    },
    Client {
        name: "go",
        title: "AWS SDK for Go v2",
        fast: true,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Go,
        command: &["{home}/bin/aws"],
    },
    Client {
        name: "rust",
        title: "AWS SDK for Rust",
        fast: false,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Cargo("rust"),
        command: &["{home}/debug/rust-client"],
    },
    Client {
        name: "java-sync",
        title: "AWS SDK for Java v2: S3Client",
        fast: false,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Maven,
        command: &["java", "-cp", CLASSES, "Main", "sync"],
    },
    Client {
        name: "java-async",
        title: "… S3AsyncClient",
        fast: false,
        tls: false,
        modes: OBJECTS,
        set_up: SetUp::Maven,
        command: &["java", "-cp", CLASSES, "Main", "async"],
    },
    Client {
        name: "java-crt",
        title: "… on the common runtime",
        fast: false,
        tls: false,
        modes: OBJECTS,
        set_up: SetUp::Maven,
        command: &["java", "-cp", CLASSES, "Main", "crt"],
    },
    Client {
        name: "java-transfer",
        title: "… S3TransferManager",
        fast: false,
        tls: false,
        modes: NO_PRESIGN,
        set_up: SetUp::Maven,
        command: &["java", "-cp", CLASSES, "Main", "transfer"],
    },
    Client {
        name: "pyarrow",
        title: "AWS SDK for C++, by pyarrow",
        fast: true,
        tls: false,
        modes: &[SseS3, Multipart, Range, Copies, Work],
        set_up: SetUp::PythonOf("files"),
        command: &["{home}/python", "{clients}/python/with_pyarrow.py"],
    },
    Client {
        name: "minio-go",
        title: "minio-go",
        fast: true,
        tls: true,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Go,
        command: &["{home}/bin/minio"],
    },
    Client {
        name: "mc",
        title: "mc",
        fast: false,
        tls: true,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::GoProgram("github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9"),
        command: &["bash", "{clients}/tools/mc.sh"],
    },
    Client {
        name: "rclone",
        title: "rclone",
        fast: true,
        tls: true,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::Debian(&[("rclone", "rclone")]),
        command: &["bash", "{clients}/tools/rclone.sh"],
    },
    Client {
        name: "s3cmd",
        title: "s3cmd",
        fast: false,
        tls: false,
        modes: NO_CUSTOMER_KEYS,
        set_up: SetUp::Debian(&[("s3cmd", "s3cmd")]),
        command: &["bash", "{clients}/tools/s3cmd.sh"],
    },
    Client {
        name: "s5cmd",
        title: "s5cmd",
        fast: false,
        tls: false,
        modes: &[SseS3, SseKms, Multipart, Copies, Presign, Work],
        set_up: SetUp::GoProgram("github.com/peak/s5cmd/v2@v2.3.0"),
        command: &["bash", "{clients}/tools/s5cmd.sh"],
    },
    Client {
        name: "s3fs",
        title: "s3fs",
        fast: true,
        tls: false,
        modes: ENCRYPTIONS_AND_ALL,
        set_up: SetUp::PythonOf("files"),
        command: &["{home}/python", "{clients}/python/with_s3fs.py"],
    },
    Client {
        name: "polars",
        title: "polars",
        fast: false,
        tls: false,
        modes: &[SseS3, SseKms, SseC, Multipart, Range, Work],
        set_up: SetUp::PythonOf("tables"),
        command: &["{home}/python", "{clients}/python/with_polars.py"],
    },
    Client {
        name: "deltalake",
        title: "deltalake, four writers at once",
        fast: false,
        tls: false,
        modes: &[SseS3, SseKms, SseC, Work],
        set_up: SetUp::PythonOf("tables"),
        command: &["{home}/python", "{clients}/python/with_deltalake.py"],
    },
    Client {
        name: "lake",
        title: "delta-rs and DataFusion over EncryptedStore, eight writers at once",
        fast: false,
        tls: false,
        modes: &[Work],
        set_up: SetUp::EncryptionClient("lake"),
        command: &["{home}/debug/lake"],
    },
    Client {
        name: "pyiceberg",
        title: "pyiceberg",
        fast: false,
        tls: false,
        modes: &[SseS3, Multipart, Range, Work],
        set_up: SetUp::PythonOf("tables"),
        command: &["{home}/python", "{clients}/python/with_pyiceberg.py"],
    },
    Client {
        name: "restic",
        title: "restic",
        fast: false,
        tls: false,
        modes: &[Work],
        set_up: SetUp::Debian(&[("restic", "restic")]),
        command: &["bash", "{clients}/tools/restic.sh"],
    },
    Client {
        name: "pgbackrest",
        title: "pgBackRest with PostgreSQL",
        fast: false,
        tls: true,
        modes: &[SseKms, Work],
        set_up: SetUp::Debian(&[("pgbackrest", "pgbackrest"), ("pg_createcluster", "postgresql")]),
        command: &["bash", "{clients}/tools/pgbackrest.sh"],
    },
    Client {
        name: "docker-registry",
        title: "Docker's registry",
        fast: false,
        tls: false,
        modes: &[SseKms, Presign, Work],
        set_up: SetUp::Debian(&[("docker-registry", "docker-registry")]),
        command: &["bash", "{clients}/tools/docker_registry.sh"],
    },
];
