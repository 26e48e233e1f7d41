//! Operation × state × origin: <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>.

use super::*;
use crate::key::{KeyState, Origin};
use crate::ops::{CreateGrant, ImportKeyMaterial, SYMMETRIC_DEFAULT, Side, WrappingAlgorithm};

/// What an operation answers: by the number of the note in AWS's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    Ok,
    /// `DisabledException`.
    Disabled,
    /// Pending deletion.
    Deletion,
    /// Not pending deletion.
    NotDeletion,
    /// Pending import.
    Import,
    /// `UnsupportedOperationException`.
    Unsupported,
    /// Passed the state; refused for what is in the request.
    Request,
}

type Operation = fn(&Kms, &str) -> Result<(), KmsError>;

const OPERATIONS: [(&str, Operation); 24] = [
    ("Encrypt", |kms, id| kms.encrypt(&root_user(), id, b"x", &context("a")).map(drop)),
    ("GenerateDataKey", |kms, id| kms.generate_data_key(&root_user(), id, &context("a")).map(drop)),
    ("CreateGrant", |kms, id| {
        let operations = vec!["Encrypt".to_owned()];
        let request = CreateGrant {
            key_id: id.to_owned(),
            grantee: user("a").arn().to_owned(),
            operations,
            ..CreateGrant::default()
        };
        kms.create_grant(&root_user(), request).map(drop)
    }),
    ("CancelKeyDeletion", |kms, id| kms.cancel_key_deletion(&root_user(), id).map(drop)),
    ("ScheduleKeyDeletion", |kms, id| kms.schedule_key_deletion(&root_user(), id, None).map(drop)),
    ("EnableKey", |kms, id| kms.enable_key(&root_user(), id)),
    ("DisableKey", |kms, id| kms.disable_key(&root_user(), id)),
    ("EnableKeyRotation", |kms, id| kms.enable_key_rotation(&root_user(), id, None)),
    ("DisableKeyRotation", |kms, id| kms.disable_key_rotation(&root_user(), id)),
    ("GetKeyRotationStatus", |kms, id| kms.get_key_rotation_status(&root_user(), id).map(drop)),
    ("ListKeyRotations", |kms, id| kms.list_key_rotations(&root_user(), id, false, None, None).map(drop)),
    ("GetParametersForImport", |kms, id| {
        kms.get_parameters_for_import(&root_user(), id, WrappingAlgorithm::OaepSha256, 2048).map(drop)
    }),
    ("ImportKeyMaterial", |kms, id| {
        let request = ImportKeyMaterial { key_id: id.to_owned(), ..ImportKeyMaterial::default() };
        kms.import_key_material(&root_user(), request).map(drop)
    }),
    ("DeleteImportedKeyMaterial", |kms, id| {
        kms.delete_imported_key_material(&root_user(), id, None).map(drop)
    }),
    ("CreateAlias", |kms, id| kms.create_alias(&root_user(), "alias/new", id)),
    ("TagResource", |kms, id| {
        kms.tag_resource(&root_user(), id, [("a".to_owned(), "b".to_owned())].into_iter().collect())
    }),
    ("UntagResource", |kms, id| kms.untag_resource(&root_user(), id, &["a".to_owned()])),
    ("UpdateKeyDescription", |kms, id| kms.update_key_description(&root_user(), id, "d".to_owned())),
    ("DescribeKey", |kms, id| kms.describe_key(&root_user(), id).map(drop)),
    ("GetKeyPolicy", |kms, id| kms.get_key_policy(&root_user(), id, None).map(drop)),
    ("PutKeyPolicy", |kms, id| {
        let policy = kms.get_key_policy(&root_user(), id, None)?;
        kms.put_key_policy(&root_user(), id, None, policy, false)
    }),
    ("ListKeyPolicies", |kms, id| kms.list_key_policies(&root_user(), id).map(drop)),
    ("ListGrants", |kms, id| kms.list_grants(&root_user(), id, (None, None), None, None).map(drop)),
    ("ListResourceTags", |kms, id| kms.list_resource_tags(&root_user(), id, None, None).map(drop)),
];

/// For material of our own: enabled, disabled, pending deletion. For imported: enabled, disabled, pending deletion, pending import.
fn expected(operation: &str) -> [[Note; 4]; 2] {
    use Note::*;
    match operation {
        "Encrypt" | "GenerateDataKey" | "CreateGrant" => {
            [[Ok, Disabled, Deletion, Ok], [Ok, Disabled, Deletion, Import]]
        }
        "CancelKeyDeletion" => {
            [[NotDeletion, NotDeletion, Ok, Ok], [NotDeletion, NotDeletion, Ok, NotDeletion]]
        }
        "ScheduleKeyDeletion" | "CreateAlias" | "TagResource" | "UntagResource" | "UpdateKeyDescription" => {
            [[Ok, Ok, Deletion, Ok], [Ok, Ok, Deletion, Ok]]
        }
        "EnableKey" | "DisableKey" => [[Ok, Ok, Deletion, Ok], [Ok, Ok, Deletion, Import]],
        "EnableKeyRotation" | "DisableKeyRotation" => [[Ok, Disabled, Deletion, Ok], [Unsupported; 4]],
        "GetParametersForImport" => [[Unsupported; 4], [Ok, Ok, Deletion, Ok]],
        "ImportKeyMaterial" => [[Unsupported; 4], [Request, Request, Deletion, Request]],
        "DeleteImportedKeyMaterial" => [[Unsupported; 4], [Ok; 4]],
        _ => [[Ok; 4]; 2],
    }
}

fn in_state(kms: &Kms, origin: Origin, state: usize) -> Option<String> {
    let caller = root_user();
    let request = CreateKey { origin: Some(origin), ..CreateKey::default() };
    let id = kms.create_key(&caller, request).unwrap().key.id.to_string();
    if origin == Origin::External && state != 3 {
        super::life::import(kms, &id, &[7; 32], ImportKeyMaterial::default()).unwrap();
    }
    match (state, origin) {
        (0, _) | (3, Origin::External) => {}
        (1, _) => kms.disable_key(&caller, &id).unwrap(),
        (2, _) => kms.schedule_key_deletion(&caller, &id, None).map(drop).unwrap(),
        _ => return None,
    }
    Some(id)
}

#[test]
fn every_operation_in_every_state() {
    for (operation, run) in OPERATIONS {
        for (origin, notes) in [Origin::AwsKms, Origin::External].into_iter().zip(expected(operation)) {
            for (state, note) in notes.into_iter().enumerate() {
                let kms = kms();
                let Some(id) = in_state(&kms, origin, state) else { continue };
                let arn = kms.arn(&kms.find(&id).unwrap().key);
                let found = run(&kms, &id).map_err(|error| (error.name(), error.to_string()));
                let invalid = |what: &str| Err(("KMSInvalidStateException", format!("{arn} is {what}.")));
                let wanted = match note {
                    Note::Ok => Ok(()),
                    Note::Disabled => Err(("DisabledException", format!("{arn} is disabled."))),
                    Note::Deletion => invalid("pending deletion"),
                    Note::NotDeletion => invalid("not pending deletion"),
                    Note::Import => invalid("pending import"),
                    Note::Unsupported => Err((
                        "UnsupportedOperationException",
                        format!("{arn} origin is {} which is not valid for this operation.", origin.name()),
                    )),
                    Note::Request => Err((
                        "InvalidImportTokenException",
                        "The import token is not valid for this key.".to_owned(),
                    )),
                };
                assert_eq!(found, wanted, "{operation} of a key of {origin:?} in state {state}");
            }
        }
    }
}

#[test]
fn ciphertexts_in_every_state() {
    for (state, note) in [Note::Ok, Note::Disabled, Note::Deletion].into_iter().enumerate() {
        let kms = kms();
        let (caller, id) = (root_user(), new_key(&kms));
        let blob = kms.encrypt(&caller, &id, b"x", &context("a")).unwrap().ciphertext_blob;
        let other = new_key(&kms);
        match state {
            1 => kms.disable_key(&caller, &id).unwrap(),
            2 => kms.schedule_key_deletion(&caller, &id, None).map(drop).unwrap(),
            _ => {}
        }
        let name = match note {
            Note::Ok => None,
            Note::Disabled => Some("DisabledException"),
            _ => Some("KMSInvalidStateException"),
        };
        let decrypted = kms.decrypt(&caller, None, &blob, &context("a")).map(drop);
        let (a, b) = (context("a"), context("b"));
        let from = Side { key_id: None, context: &a, algorithm: SYMMETRIC_DEFAULT };
        let to = Side { key_id: Some(&other), context: &b, ..from };
        let moved = kms.re_encrypt(&caller, from, &blob, to).map(drop);
        for found in [decrypted, moved] {
            assert_eq!(found.err().map(|error| error.name()), name, "state {state}");
        }
        assert_eq!(kms.find(&id).unwrap().key.state == KeyState::Enabled, state == 0);
    }
}
