//! The crate s3-encryption-client over the AWS SDK, against a gateway; and over the crate object_store, against two kinds of S3.

use std::sync::Arc;

use aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadInput;
use aws_sdk_s3::operation::delete_object::DeleteObjectInput;
use aws_sdk_s3::operation::delete_objects::DeleteObjectsInput;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_sdk_s3::operation::put_object::PutObjectInput;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};
use conformance_tests::seaweedfs::{self, Seaweedfs};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use s3_encryption_client::aws_s3::S3EncryptionClient;
use s3_encryption_client::keyring::{AesKeyring, AwsKms, Keyring, KmsKeyring};
use s3_encryption_client::object_store::EncryptedStore;
use s3_encryption_client::{
    CommitmentPolicy, ContentSuite, Description, Error, Placement, Release, Settings,
};

use crate::client::{client, content};
use crate::kms::kms_client;

fn aes(byte: u8) -> Arc<dyn Keyring> {
    Arc::new(AesKeyring::new(&[byte; 32]).unwrap())
}

fn v2() -> Settings {
    Settings::new()
        .suite(ContentSuite::Aes256Gcm)
        .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
}

async fn got(client: &S3EncryptionClient, key: &str, context: &Description) -> Result<Vec<u8>, Error> {
    client.get_object(GetObjectInput::builder().bucket("sdk").key(key), context).await?.collect().await
}

async fn put(
    client: &S3EncryptionClient,
    key: &str,
    body: Vec<u8>,
    context: &Description,
) -> Result<(), Error> {
    let input = PutObjectInput::builder().bucket("sdk").key(key).metadata("own", "1");
    client.put_object(input, body, context).await.map(drop)
}

#[tokio::test]
async fn the_sdk_s_objects_are_sealed_and_opened() {
    let server = Server::start().unwrap();
    let sdk = client(&server);
    sdk.create_bucket().bucket("sdk").send().await.unwrap();
    let kms = kms_client(&server);
    let made = kms.create_key().send().await.unwrap();
    let key_id = made.key_metadata().unwrap().key_id().to_owned();
    let of_kms: Arc<dyn Keyring> = Arc::new(KmsKeyring::new(Arc::new(AwsKms::new(kms)), key_id));
    let (none, context) = (Description::new(), Description::from([("dept", "it")]));
    let open = |keyring: &Arc<dyn Keyring>, settings: Settings| {
        S3EncryptionClient::new(sdk.clone(), keyring.clone(), settings).unwrap()
    };
    for (keyring, context) in [(&aes(1), &none), (&of_kms, &context)] {
        for settings in [Settings::new(), v2()] {
            for placement in [Placement::Metadata, Placement::InstructionFile] {
                for release in [Release::default(), Release::Delayed] {
                    let client = open(keyring, settings.clone().placement(placement).release(release));
                    for len in [0, 1, 70_000] {
                        put(&client, "k", content(len, 1), context).await.unwrap();
                        assert!(got(&client, "k", context).await.unwrap() == content(len, 1));
                    }
                }
            }
        }
    }
    // The last one is V2, under the KMS key, with an instruction file.
    let refused = got(&open(&of_kms, Settings::new()), "k", &context).await.unwrap_err();
    assert!(matches!(refused, Error::Policy(_)), "{refused}");
    let refused = got(&open(&of_kms, v2()), "k", &none).await.unwrap_err();
    assert!(matches!(refused, Error::Keyring(_)), "{refused}");
    let client = open(&aes(1), Settings::new());
    put(&client, "own", content(10, 1), &none).await.unwrap();
    let answer = client.get_object(GetObjectInput::builder().bucket("sdk").key("own"), &none).await.unwrap();
    assert_eq!((answer.output.content_length(), answer.output.metadata().unwrap().len()), (Some(10), 1));
    let range = GetObjectInput::builder().bucket("sdk").key("own").range("bytes=0-1");
    assert!(matches!(client.get_object(range, &none).await, Err(Error::Policy(_))));
    let refused = got(&client, "none", &none).await.unwrap_err();
    assert!(refused.to_string().contains("NoSuchKey"), "{refused}");
    let small = client.max_put_len(9);
    assert!(matches!(put(&small, "own", content(10, 1), &none).await, Err(Error::TooLongForPut { max: 9 })));
    sdk.put_object().bucket("sdk").key("plain").body(b"x".to_vec().into()).send().await.unwrap();
    assert!(matches!(got(&small, "plain", &none).await, Err(Error::NotEncrypted)));
}

#[tokio::test]
async fn parts_instruction_files_and_deletions() {
    let server = Server::start().unwrap();
    let sdk = client(&server);
    sdk.create_bucket().bucket("sdk").send().await.unwrap();
    let none = Description::new();
    let settings = Settings::new().placement(Placement::InstructionFile);
    let client = S3EncryptionClient::new(sdk.clone(), aes(1), settings.clone()).unwrap();
    let lens = [&[][..], &[5 << 20, 5 << 20], &[5 << 20, 1]];
    for (lens, checksum) in
        lens.into_iter().zip([None, Some(ChecksumAlgorithm::Crc32), Some(ChecksumAlgorithm::Sha256)])
    {
        let input =
            CreateMultipartUploadInput::builder().bucket("sdk").key("parts").set_checksum_algorithm(checksum);
        let mut upload = client.create_multipart_upload(input, &none).await.unwrap();
        let mut whole = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            let part = content(*len, number as u64);
            upload.upload_part(&part).await.unwrap();
            whole.extend(part);
        }
        upload.complete().await.unwrap();
        assert!(got(&client, "parts", &none).await.unwrap() == whole, "{lens:?}");
    }
    let input = CreateMultipartUploadInput::builder().bucket("sdk").key("aborted");
    let upload = client.create_multipart_upload(input, &none).await.unwrap();
    upload.abort().await.unwrap();
    let uploads = sdk.list_multipart_uploads().bucket("sdk").send().await.unwrap();
    assert!(uploads.uploads().is_empty());

    let body = content(100, 1);
    put(&client, "file", body.clone(), &none).await.unwrap();
    client.reencrypt_instruction_file("sdk", "file", &none, &*aes(2), &none).await.unwrap();
    assert!(matches!(got(&client, "file", &none).await, Err(Error::Keyring(_))));
    let new = S3EncryptionClient::new(sdk.clone(), aes(2), settings).unwrap();
    assert_eq!(got(&new, "file", &none).await.unwrap(), body);
    client.reencrypt_instruction_file("sdk", "file", &none, &*aes(3), &none).await.unwrap_err();

    put(&client, "other", body, &none).await.unwrap();
    client.delete_object(DeleteObjectInput::builder().bucket("sdk").key("file")).await.unwrap();
    let named = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().objects(named("other")).objects(named("parts")).build().unwrap();
    client.delete_objects(DeleteObjectsInput::builder().bucket("sdk").delete(delete)).await.unwrap();
    let left = sdk.list_objects_v2().bucket("sdk").send().await.unwrap();
    assert!(left.contents().is_empty(), "{left:?}");
}

const WRITERS: usize = 4;
const COMMITS: usize = 5;

/// What writers of a Delta table do: each commit is a put of the next name, which must not be there yet.
async fn commit(store: impl ObjectStore, writer: usize) {
    let mut version = 0;
    for commit in 0..COMMITS {
        loop {
            let name = Path::from(format!("log/{version}"));
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let body = format!("{writer} {commit}").into_bytes();
            match store.put_opts(&name, body.into(), options).await {
                Ok(_) => break,
                Err(object_store::Error::AlreadyExists { .. }) => version += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn commits_of_several_writers_are_all_there_once() {
    let server = Server::start().unwrap();
    client(&server).create_bucket().bucket("sdk").send().await.unwrap();
    let other = Seaweedfs::start().unwrap();
    for (endpoint, bucket) in [(server.endpoint.clone(), "sdk"), (other.endpoint(), seaweedfs::BUCKET)] {
        let open = || {
            let s3 = AmazonS3Builder::new()
                .with_endpoint(&endpoint)
                .with_region("us-east-1")
                .with_bucket_name(bucket)
                .with_access_key_id(ACCESS_KEY_ID)
                .with_secret_access_key(SECRET_ACCESS_KEY)
                .with_allow_http(true);
            let store = EncryptedStore::new(s3.build().unwrap(), aes(1), Settings::new()).unwrap();
            store.ignore_instruction_files()
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(commit(open(), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let (store, mut found) = (open(), Vec::new());
        for version in 0..WRITERS * COMMITS {
            let got = store.get(&Path::from(format!("log/{version}"))).await.unwrap();
            found.push(String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap());
        }
        let all =
            (0..WRITERS).flat_map(|writer| (0..COMMITS).map(move |commit| format!("{writer} {commit}")));
        found.sort();
        assert_eq!(found, all.collect::<Vec<_>>(), "{bucket}");
        let behind = store.head(&Path::from(format!("log/{}", WRITERS * COMMITS))).await;
        assert!(matches!(behind, Err(object_store::Error::NotFound { .. })), "{behind:?}");
    }
}
