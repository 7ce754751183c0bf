use super::*;

/// The published example of the note format, with its key pair.
const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const NAME: &str = "PeterNeumann";

fn key() -> SigningKey {
    let typed = BASE64.decode(SEED.as_bytes()).unwrap();
    SigningKey::from_bytes(typed[1..].try_into().unwrap())
}

fn open_it(note: &str) -> Result<&str, NoteError> {
    open(note.as_bytes(), NAME, &key().verifying_key())
}

#[test]
fn the_published_example_is_made_byte_for_byte() {
    assert_eq!(verifier_key(NAME, &key().verifying_key()), VERIFIER);
    assert_eq!(sign(TEXT, NAME, &key()).unwrap(), format!("{TEXT}\n{LINE}"));
}

#[test]
fn the_published_example_verifies() {
    assert_eq!(open_it(&format!("{TEXT}\n{LINE}")), Ok(TEXT));
}

#[test]
fn a_changed_text_is_refused() {
    let note = format!("{}\n{LINE}", TEXT.replace("cryptography", "cryptographY"));
    assert_eq!(open_it(&note), Err(NoteError::WrongSignature(NAME.into())));
}

#[test]
fn a_witness_signature_beside_ours_is_passed_over() {
    let witness = "— witness.example AAAAAAAA\n";
    assert_eq!(open_it(&format!("{TEXT}\n{LINE}{witness}")), Ok(TEXT));
    assert_eq!(open_it(&format!("{TEXT}\n{witness}{LINE}")), Ok(TEXT));
}

#[test]
fn a_note_that_only_others_signed_is_refused() {
    assert_eq!(
        open_it(&format!("{TEXT}\n— witness.example AAAAAAAA\n")),
        Err(NoteError::NotSigned(NAME.into()))
    );
}

#[test]
fn the_key_id_is_no_authority() {
    let other = SigningKey::from_bytes(&[9; 32]);
    let forged =
        [key_id(NAME, &key().verifying_key()).as_slice(), &other.sign(TEXT.as_bytes()).to_bytes()].concat();
    let note = format!("{TEXT}\n— {NAME} {}\n", BASE64.encode(&forged));
    assert_eq!(open_it(&note), Err(NoteError::WrongSignature(NAME.into())));
}

#[test]
fn the_same_signature_twice_is_refused() {
    assert_eq!(open_it(&format!("{TEXT}\n{LINE}{LINE}")), Err(NoteError::SignedTwice(NAME.into())));
}

#[test]
fn stripped_signatures_are_refused() {
    assert_eq!(open_it(TEXT), Err(NoteError::Malformed));
    assert_eq!(open_it(&format!("{TEXT}\n")), Err(NoteError::Malformed));
    assert_eq!(open_it(&format!("{TEXT}\n\n")), Err(NoteError::Malformed));
    assert_eq!(open_it(""), Err(NoteError::Malformed));
}

#[test]
fn malformed_signature_lines_are_refused() {
    for line in [
        "PeterNeumann x08go/Y=",    // no dash
        "- PeterNeumann x08go/Y=",  // another dash
        "— PeterNeumann",           // no signature
        "— PeterNeumann x08goA==",  // a key id and nothing more
        "— PeterNeumann x08go/Z",   // no padding
        "— Peter+Neumann x08go/ZJ", // a plus in the name
        "—  x08go/ZJ",              // no name
        "— PeterNeumann  x08go/ZJ", // two blanks
    ] {
        assert_eq!(open_it(&format!("{TEXT}\n{LINE}{line}\n")), Err(NoteError::BadLine(2)), "{line}");
    }
}

#[test]
fn control_characters_and_broken_utf8_are_refused() {
    assert_eq!(open_it(&format!("a\r\n\n{LINE}")), Err(NoteError::NotText));
    assert_eq!(open(b"a\xff\n\n", NAME, &key().verifying_key()), Err(NoteError::NotText));
    assert_eq!(sign("a\tb\n", NAME, &key()), Err(NoteError::NotText));
    assert_eq!(sign("no newline", NAME, &key()), Err(NoteError::NotText));
    assert_eq!(sign(TEXT, "two words", &key()), Err(NoteError::BadName));
}

#[test]
fn an_oversized_note_and_a_flood_of_signatures_are_refused() {
    let large = "a\n".repeat(40_000);
    assert_eq!(open_it(&large), Err(NoteError::TooLarge(80_000)));
    let flood = "— w AAAAAAAA\n".repeat(101);
    assert_eq!(open_it(&format!("{TEXT}\n{flood}")), Err(NoteError::TooManySignatures));
}

#[test]
fn a_key_of_small_order_verifies_nothing() {
    // The identity point as the key, and as R with S = 0: accepted by a lax verifier for any text.
    let mut identity = [0_u8; 32];
    identity[0] = 1;
    let weak = VerifyingKey::from_bytes(&identity).unwrap();
    let blob = [key_id(NAME, &weak).as_slice(), &identity, &[0; 32]].concat();
    let note = format!("{TEXT}\n— {NAME} {}\n", BASE64.encode(&blob));
    assert_eq!(open(note.as_bytes(), NAME, &weak), Err(NoteError::WrongSignature(NAME.into())));
}

#[test]
fn the_rfc_8032_vectors_come_out() {
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
    for (seed, public, message, signature) in vectors {
        let key = SigningKey::from_bytes(bytes(seed).as_slice().try_into().unwrap());
        assert_eq!(key.verifying_key().as_bytes().as_slice(), bytes(public));
        let signed = key.sign(&bytes(message));
        assert_eq!(signed.to_bytes().as_slice(), bytes(signature));
        assert!(key.verifying_key().verify_strict(&bytes(message), &signed).is_ok());
    }
}
