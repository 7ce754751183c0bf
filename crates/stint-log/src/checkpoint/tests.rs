use ed25519_dalek::Signature;

use super::*;

const ORIGIN: &str = "stint/journal/web-01/0";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size: 12, root: Hash::of(b"root") }
}

/// Signs any text as the log would, to show what parsing alone refuses.
fn open_text(text: &str) -> Result<Checkpoint, CheckpointError> {
    let signed = note::sign(text, ORIGIN, &key()).unwrap();
    Checkpoint::open(signed.as_bytes(), ORIGIN, &key().verifying_key())
}

#[test]
fn a_signed_checkpoint_is_read_back() {
    let signed = checkpoint().sign(&key()).unwrap();
    assert_eq!(Checkpoint::open(signed.as_bytes(), ORIGIN, &key().verifying_key()), Ok(checkpoint()));
}

/// Written from the specification alone, with none of this crate's code but the signer.
#[test]
fn a_signed_checkpoint_follows_the_published_format_to_the_byte() {
    use sha2::{Digest, Sha256};

    let signed = checkpoint().sign(&key()).unwrap();
    let public = key().verifying_key();

    let lines: Vec<&str> = signed.split('\n').collect();
    let root = BASE64.encode(&Sha256::digest(b"root"));
    assert_eq!(lines[..4], ["stint/journal/web-01/0", "12", root.as_str(), ""]);
    assert_eq!(lines[5..], [""], "one signature line, ended by a newline");
    let blob = lines[4].strip_prefix("\u{2014} stint/journal/web-01/0 ").unwrap();
    let blob = BASE64.decode(blob.as_bytes()).unwrap();

    let mut id = Sha256::new();
    id.update(b"stint/journal/web-01/0\x0a\x01");
    id.update(public.to_bytes());
    assert_eq!(blob[..4], id.finalize()[..4]);

    let message = format!("stint/journal/web-01/0\n12\n{root}\n");
    let signature = Signature::from_slice(&blob[4..]).unwrap();
    assert!(public.verify_strict(message.as_bytes(), &signature).is_ok());
}

/// A checkpoint that a public log, not ours, has signed.
#[test]
fn a_checkpoint_of_a_public_log_verifies() {
    let signed = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n\
        — sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";
    let typed = BASE64.decode(b"Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8").unwrap();
    let key = VerifyingKey::from_bytes(typed[1..].try_into().unwrap()).unwrap();

    let opened =
        Checkpoint::open_as(signed.as_bytes(), "go.sum database tree", "sum.golang.org", &key).unwrap();

    assert_eq!(opened.size, 63_096_908);
}

#[test]
fn every_flipped_bit_of_a_signed_checkpoint_is_noticed() {
    let signed = checkpoint().sign(&key()).unwrap().into_bytes();
    for bit in 0..signed.len() * 8 {
        let mut bad = signed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::open(&bad, ORIGIN, &key().verifying_key()).is_err(), "bit {bit}");
    }
}

#[test]
fn the_checkpoint_of_another_log_is_refused() {
    let other = Checkpoint { origin: "stint/journal/web-02/0".into(), ..checkpoint() };
    let signed = other.sign_as(ORIGIN, &key()).unwrap();
    assert_eq!(
        Checkpoint::open(signed.as_bytes(), ORIGIN, &key().verifying_key()),
        Err(CheckpointError::OtherLog { expected: ORIGIN.into(), found: "stint/journal/web-02/0".into() })
    );
}

#[test]
fn another_key_is_refused() {
    let signed = checkpoint().sign(&SigningKey::from_bytes(&[8; 32])).unwrap();
    assert_eq!(
        Checkpoint::open(signed.as_bytes(), ORIGIN, &key().verifying_key()),
        Err(CheckpointError::Note(NoteError::NotSigned(ORIGIN.into())))
    );
}

#[test]
fn a_size_has_one_spelling() {
    let root = BASE64.encode(&[1; 32]);
    for size in ["+1", "01", "00", "-1", "1 ", "0x1", "1.0", "18446744073709551616", "١"] {
        assert_eq!(
            open_text(&format!("{ORIGIN}\n{size}\n{root}\n")),
            Err(CheckpointError::BadSize),
            "{size}"
        );
    }
    assert!(open_text(&format!("{ORIGIN}\n18446744073709551615\n{root}\n")).is_ok());
}

#[test]
fn a_root_is_32_bytes_in_plain_base64() {
    let good = BASE64.encode(&[0xfb; 32]);
    for root in
        [BASE64.encode(&[1; 31]), BASE64.encode(&[1; 33]), good.replace('+', "-"), good.replace('=', "")]
    {
        assert_eq!(open_text(&format!("{ORIGIN}\n1\n{root}\n")), Err(CheckpointError::BadRoot), "{root}");
    }
}

#[test]
fn an_empty_log_has_the_empty_root_only() {
    assert_eq!(
        open_text(&format!("{ORIGIN}\n0\n{}\n", BASE64.encode(&[1; 32]))),
        Err(CheckpointError::BadRoot)
    );
    let empty = Checkpoint { origin: ORIGIN.into(), size: 0, root: tree::empty_root() };
    let signed = empty.sign(&key()).unwrap();
    assert_eq!(Checkpoint::open(signed.as_bytes(), ORIGIN, &key().verifying_key()), Ok(empty));
}

#[test]
fn missing_and_empty_lines_are_refused() {
    let root = BASE64.encode(&[1; 32]);
    for text in [
        format!("{ORIGIN}\n1\n"),
        format!("{ORIGIN}\n"),
        "\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("{ORIGIN}\n1\n{root}\n\nmore\n"),
    ] {
        assert_eq!(open_text(&text), Err(CheckpointError::Malformed), "{text}");
    }
}

#[test]
fn extension_lines_are_passed_over() {
    let root = BASE64.encode(&[1; 32]);
    assert_eq!(open_text(&format!("{ORIGIN}\n1\n{root}\nmore\n")).unwrap().size, 1);
}

#[test]
fn an_origin_that_would_break_the_lines_is_not_signed() {
    for origin in ["", "a\nb", "two words", "a+b"] {
        let bad = Checkpoint { origin: origin.into(), ..checkpoint() };
        assert_eq!(bad.sign(&key()), Err(NoteError::BadName), "{origin:?}");
    }
}
