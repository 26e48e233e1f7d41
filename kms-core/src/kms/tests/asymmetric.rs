//! Key pairs and HMAC keys.

use super::*;
use crate::key::{KeySpec, KeyUsage};
use crate::ops::{SYMMETRIC_DEFAULT, Side, ToSign};

fn key_of(kms: &Kms, spec: KeySpec, usage: KeyUsage) -> String {
    let request = CreateKey { spec: Some(spec), usage: Some(usage), ..CreateKey::default() };
    kms.create_key(&root_user(), request).unwrap().key.id.to_string()
}

#[test]
fn every_signing_algorithm_verifies_its_own_and_nothing_else() {
    use KeySpec::*;
    let (kms, caller) = (kms(), root_user());
    let specs = [
        Rsa2048,
        EccNistP256,
        EccNistP384,
        EccNistP521,
        EccSecgP256k1,
        EccNistEdwards25519,
        MlDsa44,
        MlDsa65,
        MlDsa87,
    ];
    for spec in specs {
        let id = key_of(&kms, spec, KeyUsage::SignVerify);
        for algorithm in spec.algorithms(KeyUsage::SignVerify) {
            let asked = ToSign { message: b"message", is_digest: false, algorithm };
            let (signature, arn) = kms.sign(&caller, &id, asked).unwrap();
            assert_eq!(kms.verify(&caller, &id, asked, &signature).unwrap(), arn);
            let other = ToSign { message: b"massage", ..asked };
            assert_eq!(kms.verify(&caller, &id, other, &signature).unwrap_err(), KmsError::InvalidSignature);
            let mut damaged = signature.clone();
            damaged[7] ^= 1;
            assert_eq!(kms.verify(&caller, &id, asked, &damaged).unwrap_err(), KmsError::InvalidSignature);
            // A digest signs as its message does, where the algorithm takes digests.
            let digest: Vec<u8> = match algorithm.rsplit('_').next() {
                Some("256") => <sha2::Sha256 as sha2::Digest>::digest(b"message").to_vec(),
                Some("384") => <sha2::Sha384 as sha2::Digest>::digest(b"message").to_vec(),
                _ => <sha2::Sha512 as sha2::Digest>::digest(b"message").to_vec(),
            };
            let asked = ToSign { message: &digest, is_digest: true, algorithm };
            if matches!(spec, EccNistEdwards25519 | MlDsa44 | MlDsa65 | MlDsa87) {
                assert_eq!(kms.sign(&caller, &id, asked).unwrap_err().name(), "ValidationException");
                continue;
            }
            let (signature, _) = kms.sign(&caller, &id, asked).unwrap();
            let raw = ToSign { message: b"message", is_digest: false, algorithm };
            kms.verify(&caller, &id, raw, &signature).unwrap();
            kms.verify(&caller, &id, asked, &signature).unwrap();
            let short = ToSign { message: &digest[1..], ..asked };
            assert_eq!(kms.sign(&caller, &id, short).unwrap_err().name(), "ValidationException");
        }
        let asked = ToSign { message: b"message", is_digest: false, algorithm: "SM2DSA" };
        assert_eq!(kms.sign(&caller, &id, asked).unwrap_err().name(), "InvalidKeyUsageException");
        kms.disable_key(&caller, &id).unwrap();
        let refused = kms.get_public_key(&caller, &id).unwrap_err();
        assert_eq!(refused.name(), "DisabledException");
    }
}

#[test]
fn macs_are_those_of_rfc_2104_and_wrong_ones_are_refused() {
    let (kms, caller) = (kms(), root_user());
    for spec in [KeySpec::Hmac224, KeySpec::Hmac256, KeySpec::Hmac384, KeySpec::Hmac512] {
        let id = key_of(&kms, spec, KeyUsage::GenerateVerifyMac);
        let algorithm = spec.algorithms(KeyUsage::GenerateVerifyMac)[0];
        let (mac, arn) = kms.generate_mac(&caller, &id, algorithm, b"message").unwrap();
        assert_eq!(mac.len(), spec.mac_key_len().unwrap());
        assert_eq!(kms.verify_mac(&caller, &id, algorithm, b"message", &mac).unwrap(), arn);
        for (message, mac) in [(&b"massage"[..], &mac[..]), (b"message", &mac[1..]), (b"message", &[0; 32])] {
            let refused = kms.verify_mac(&caller, &id, algorithm, message, mac).unwrap_err();
            assert_eq!(refused, KmsError::InvalidMac);
        }
        if spec == KeySpec::Hmac256 {
            let entry = kms.find(&id).unwrap();
            let secret = entry.current().unwrap().material().unwrap().bytes().to_vec();
            assert_eq!(mac, crate::crypto::hmac_sha256(&secret, &[b"message"]));
        }
        let refused = kms.generate_mac(&caller, &id, "HMAC_SHA_1", b"m").unwrap_err();
        assert_eq!(refused.name(), "InvalidKeyUsageException");
        assert_eq!(
            kms.generate_data_key(&caller, &id, &context("a")).unwrap_err().name(),
            "InvalidKeyUsageException"
        );
        assert_eq!(
            kms.rotate_key_on_demand(&caller, &id).unwrap_err().name(),
            "UnsupportedOperationException"
        );
        assert_eq!(kms.get_public_key(&caller, &id).unwrap_err().name(), "UnsupportedOperationException");
    }
    let symmetric = new_key(&kms);
    let refused = kms.generate_mac(&caller, &symmetric, "HMAC_SHA_256", b"m").unwrap_err();
    assert!(
        refused.to_string().ends_with("key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac."),
        "{refused}"
    );
}

#[test]
fn rsa_encrypts_and_two_curves_agree() {
    let (kms, caller, none) = (kms(), root_user(), EncryptionContext::new());
    let id = key_of(&kms, KeySpec::Rsa2048, KeyUsage::EncryptDecrypt);
    for algorithm in ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] {
        let side = Side { key_id: Some(&id), context: &none, algorithm };
        let sealed = kms.encrypt_by(&caller, side, b"secret").unwrap().ciphertext_blob;
        assert_eq!(kms.decrypt_by(&caller, side, &sealed).unwrap().plaintext.expose(), b"secret");
        let unnamed = Side { key_id: None, ..side };
        assert_eq!(kms.decrypt_by(&caller, unnamed, &sealed).unwrap_err().name(), "ValidationException");
        let with_context = Side { context: &context("a"), ..side };
        assert_eq!(kms.encrypt_by(&caller, with_context, b"x").unwrap_err().name(), "ValidationException");
        assert_eq!(kms.encrypt_by(&caller, side, &[0; 256]).unwrap_err().name(), "ValidationException");
        let symmetric = new_key(&kms);
        let to = Side { key_id: Some(&symmetric), context: &none, algorithm: SYMMETRIC_DEFAULT };
        let moved = kms.re_encrypt(&caller, side, &sealed, to).unwrap();
        assert!(moved.source_key_material_id.is_none() && moved.destination_key_material_id.is_some());
        let opened = kms.decrypt(&caller, None, &moved.ciphertext_blob, &none).unwrap();
        assert_eq!(opened.plaintext.expose(), b"secret");
    }
    assert_eq!(kms.encrypt(&caller, &id, b"x", &none).unwrap_err().name(), "InvalidKeyUsageException");
    for spec in [KeySpec::EccNistP256, KeySpec::EccNistP384, KeySpec::EccNistP521] {
        let (a, b) = (key_of(&kms, spec, KeyUsage::KeyAgreement), key_of(&kms, spec, KeyUsage::KeyAgreement));
        let public = |id: &str| kms.get_public_key(&caller, id).unwrap().1;
        let agree = |id: &str, peer: &[u8]| {
            kms.derive_shared_secret(&caller, id, "ECDH", peer).map(|(s, _)| s.expose().to_vec())
        };
        assert_eq!(agree(&a, &public(&b)).unwrap(), agree(&b, &public(&a)).unwrap());
        assert_eq!(agree(&a, &public(&id)).unwrap_err().name(), "ValidationException");
    }
}

#[test]
fn keys_of_every_kind_are_what_they_were_after_a_restart() {
    let TestRoot(root_key, folder) = root();
    let (root_key, store) = (Arc::new(root_key), folder.path().join("kms"));
    let (caller, none) = (root_user(), EncryptionContext::new());
    let kms = Kms::open(&store, root_key.clone(), config()).unwrap();
    let kinds = [
        (KeySpec::Rsa4096, KeyUsage::SignVerify),
        (KeySpec::MlDsa87, KeyUsage::SignVerify),
        (KeySpec::Hmac512, KeyUsage::GenerateVerifyMac),
        (KeySpec::EccNistP521, KeyUsage::KeyAgreement),
        (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt),
    ];
    let ids: Vec<String> = kinds.iter().map(|(spec, usage)| key_of(&kms, *spec, *usage)).collect();
    let asked = ToSign { message: b"m", is_digest: false, algorithm: "ML_DSA_SHAKE_256" };
    let (signature, _) = kms.sign(&caller, &ids[1], asked).unwrap();
    assert_eq!(kms.get_key_last_usage(&caller, &ids[0]).unwrap().1, None);
    let used = Caller { request_id: "r-1".into(), ..root_user() };
    kms.generate_mac(&used, &ids[2], "HMAC_SHA_512", b"m").unwrap();
    kms.write_last_uses().unwrap();
    kms.rekey_domain(&*root_key).unwrap();

    let kms = Kms::open(&store, root_key, config()).unwrap();
    for (id, (spec, usage)) in ids.iter().zip(kinds) {
        let key = &kms.find(id).unwrap().key;
        assert_eq!((key.spec, key.usage), (spec, usage));
    }
    kms.verify(&caller, &ids[1], asked, &signature).unwrap();
    let last = kms.get_key_last_usage(&caller, &ids[2]).unwrap().1.unwrap();
    assert_eq!((last.operation.as_str(), last.request_id.as_str()), ("GenerateMac", "r-1"));
    let pair = kms
        .generate_data_key_pair(&caller, "kms:GenerateDataKeyPair", &ids[4], KeySpec::EccNistP256, &none)
        .unwrap();
    let opened = kms.decrypt(&caller, None, &pair.ciphertext_blob, &none).unwrap();
    assert_eq!(opened.plaintext.expose(), pair.private_key.expose());
}

#[test]
fn kinds_and_usages_that_do_not_fit_are_refused() {
    let (kms, caller) = (kms(), root_user());
    let create = |spec, usage| {
        kms.create_key(&caller, CreateKey { spec: Some(spec), usage, ..CreateKey::default() }).unwrap_err()
    };
    let refused = create(KeySpec::Hmac256, None);
    assert!(refused.to_string().starts_with("You must specify a KeyUsage value"), "{refused}");
    let refused = create(KeySpec::EccSecgP256k1, Some(KeyUsage::KeyAgreement));
    assert_eq!(refused.to_string(), "KeyUsage KEY_AGREEMENT is not compatible with KeySpec ECC_SECG_P256K1");
    let id = key_of(&kms, KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    let grant = |operation: &str| {
        let request = crate::ops::CreateGrant {
            key_id: id.clone(),
            grantee: user("a").arn().to_owned(),
            operations: vec![operation.to_owned()],
            ..Default::default()
        };
        kms.create_grant(&caller, request)
    };
    grant("GenerateMac").unwrap();
    kms.generate_mac(&user("a"), &id, "HMAC_SHA_256", b"m").unwrap();
    assert_eq!(grant("Encrypt").unwrap_err().name(), "ValidationException");
}

#[test]
fn imported_key_pairs_and_hmac_keys_are_those_of_their_kind() {
    use super::life::import;
    use crate::ops::ImportKeyMaterial;
    let (kms, caller, once) = (kms(), root_user(), ImportKeyMaterial::default);
    let external = |spec, usage| {
        let origin = Some(crate::key::Origin::External);
        let request = CreateKey { spec: Some(spec), usage: Some(usage), origin, ..CreateKey::default() };
        kms.create_key(&caller, request).unwrap().key.id.to_string()
    };
    let mac_key = external(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    assert!(kms.generate_mac(&caller, &mac_key, "HMAC_SHA_256", b"m").is_err(), "it waits for its material");
    assert_eq!(import(&kms, &mac_key, &[7; 31], once()).unwrap_err().name(), "IncorrectKeyMaterialException");
    import(&kms, &mac_key, &[7; 32], once()).unwrap();
    let (mac, _) = kms.generate_mac(&caller, &mac_key, "HMAC_SHA_256", b"m").unwrap();
    assert_eq!(mac, crate::crypto::hmac_sha256(&[7; 32], &[b"m"]));

    let private_key = crate::crypto::pair::generate(KeySpec::EccNistP256).unwrap();
    let pair = external(KeySpec::EccNistP256, KeyUsage::SignVerify);
    assert_eq!(import(&kms, &pair, &[7; 32], once()).unwrap_err().name(), "IncorrectKeyMaterialException");
    let other = external(KeySpec::EccSecgP256k1, KeyUsage::SignVerify);
    let refused = import(&kms, &other, private_key.expose(), once()).unwrap_err();
    assert_eq!(refused.name(), "IncorrectKeyMaterialException", "a key of another curve");
    import(&kms, &pair, private_key.expose(), once()).unwrap();
    let asked = ToSign { message: b"m", is_digest: false, algorithm: "ECDSA_SHA_256" };
    let (signature, _) = kms.sign(&caller, &pair, asked).unwrap();
    kms.verify(&caller, &pair, asked, &signature).unwrap();
    // Other material is not taken, the same is.
    let second = crate::crypto::pair::generate(KeySpec::EccNistP256).unwrap();
    let new = ImportKeyMaterial { is_new: Some(true), ..once() };
    assert_eq!(
        import(&kms, &pair, second.expose(), new).unwrap_err().name(),
        "IncorrectKeyMaterialException"
    );
    kms.delete_imported_key_material(&caller, &pair, None).unwrap();
    assert!(kms.verify(&caller, &pair, asked, &signature).is_err());
    import(&kms, &pair, private_key.expose(), once()).unwrap();
    kms.verify(&caller, &pair, asked, &signature).unwrap();
}
