use tempfile::TempDir;

use super::*;

/// As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them: the key of test 1 of
/// RFC 8032.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";
const PUBLIC_HEX: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn checkpoint() -> Checkpoint {
    let time = DateTime::from_timestamp(1_769_860_800, 123_456_789).unwrap();
    let anchor = |partition, position, byte| Anchor { partition, position, hash: [byte; 32] };
    Checkpoint::new(time, vec![anchor(0, 123, 0xab), anchor(1, 0, 0)])
}

/// A directory with the keys.
fn keys() -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("key.pem"), PRIVATE).unwrap();
    std::fs::write(dir.path().join("public.pem"), PUBLIC).unwrap();
    dir
}

fn signed(dir: &TempDir) -> PathBuf {
    let file = dir.path().join("checkpoint.json");
    let mut checkpoint = checkpoint();
    checkpoint.sign(&dir.path().join("key.pem")).unwrap();
    checkpoint.write(&file).unwrap();
    file
}

#[test]
fn what_is_signed_never_changes() {
    let expected = format!(
        "florin-checkpoint-1\n2026-01-31T12:00:00.123456Z\n0 123 {}\n1 0 {}\n",
        "ab".repeat(32),
        "00".repeat(32)
    );
    assert_eq!(checkpoint().text(), expected);
}

#[test]
fn a_signature_is_checked_by_the_key_that_is_given_or_by_its_own() {
    let dir = keys();
    let file = signed(&dir);
    let (read, voucher) = Checkpoint::open(&file, None).unwrap();
    assert_eq!((&read.anchors, read.time), (&checkpoint().anchors, checkpoint().time));
    assert_eq!(voucher, Voucher::OwnKey(PUBLIC_HEX.to_owned()));
    let public = dir.path().join("public.pem");
    let (_, voucher) = Checkpoint::open(&file, Some(&public)).unwrap();
    assert_eq!(voucher, Voucher::Key(PUBLIC_HEX.to_owned()));
    // The same keys without their armour.
    let der = dir.path().join("public.der");
    std::fs::write(&der, SubjectPublicKeyInfoDer::from_pem_slice(PUBLIC.as_bytes()).unwrap())
        .unwrap();
    Checkpoint::open(&file, Some(&der)).unwrap();
    let key = dir.path().join("key.der");
    let secret = PrivatePkcs8KeyDer::from_pem_slice(PRIVATE.as_bytes()).unwrap();
    std::fs::write(&key, secret.secret_pkcs8_der()).unwrap();
    checkpoint().sign(&key).unwrap();
}

#[test]
fn whatever_is_changed_the_signature_is_that_of_something_else() {
    let dir = keys();
    let file = signed(&dir);
    let text = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("\"position\": 123", "\"position\": 122"),
        ("\"partition\": 1", "\"partition\": 2"),
        ("abab", "abac"),
        ("12:00:00.123456", "12:00:00.123457"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let error = Checkpoint::open(&file, None).unwrap_err().to_string();
        assert!(error.ends_with("its signature is not that of the key, or it was changed since"));
    }
}

#[test]
fn another_key_and_no_signature_are_refused_where_a_key_is_given() {
    let dir = keys();
    let file = signed(&dir);
    let other = dir.path().join("other.pem");
    let stranger = PUBLIC.replace("MCowBQYDK2VwAyEA11qY", "MCowBQYDK2VwAyEAGb9E");
    std::fs::write(&other, stranger).unwrap();
    let error = Checkpoint::open(&file, Some(&other)).unwrap_err().to_string();
    assert!(error.ends_with("its signature is not that of the key, or it was changed since"));
    let unsigned = dir.path().join("unsigned.json");
    checkpoint().write(&unsigned).unwrap();
    assert_eq!(Checkpoint::open(&unsigned, None).unwrap().1, Voucher::Nobody);
    let public = dir.path().join("public.pem");
    let error = Checkpoint::open(&unsigned, Some(&public)).unwrap_err().to_string();
    assert!(error.ends_with("nobody has signed it, so there is nothing that the key could show"));
}

#[test]
fn what_is_no_checkpoint_or_key_is_told_by_name() {
    let dir = keys();
    let at = |name: &str| dir.path().join(name);
    let file = signed(&dir);
    for (text, expected) in [
        ("{}".to_owned(), "it is no checkpoint: missing field `format`"),
        (r#"{"format":"florin-checkpoint-2","x":1}"#.to_owned(), "another format"),
        (
            std::fs::read_to_string(&file).unwrap().replace("abab", "ab"),
            "a hash has 64 hexadecimal digits",
        ),
        (
            std::fs::read_to_string(&file).unwrap().replace("\"partition\": 1", "\"partition\": 0"),
            "each partition is there once, in their order",
        ),
        (
            std::fs::read_to_string(&file).unwrap().replace("publicKey", "privateKey"),
            "unknown field `privateKey`",
        ),
        (" ".repeat(2 << 20), "larger than any checkpoint or key"),
    ] {
        std::fs::write(at("bad.json"), text).unwrap();
        let error = Checkpoint::open(&at("bad.json"), None).unwrap_err().to_string();
        assert!(error.contains("bad.json: ") && error.contains(expected), "{error}");
    }
    let error = Checkpoint::open(&file, Some(&at("key.pem"))).unwrap_err().to_string();
    assert!(error.contains("key.pem: it is no Ed25519 public key"), "{error}");
    let error = checkpoint().sign(&at("public.pem")).unwrap_err().to_string();
    assert!(error.contains("public.pem: it is no Ed25519 private key"), "{error}");
    let error = checkpoint().sign(&at("gone.pem")).unwrap_err().to_string();
    assert!(error.contains("gone.pem: No such file"), "{error}");
    let error = checkpoint().write(&file).unwrap_err().to_string();
    assert!(error.ends_with("there is a file of that name already, which is not written over"));
}
