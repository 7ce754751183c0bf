//! Reviews as this program signs them, checked by the host's own code and by OpenSSH.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use stint_grant::dsse::{self, Document, Verified};
use stint_grant::ids::Sha256Hex;
use stint_grant::review::ReviewDecision;
use stint_grant::roster::{Reviewer, Roster};
use stint_grant::time::UnixTime;

use super::*;

/// A key made by ssh-keygen, as a reviewer has one; the folder holds it.
fn new_key(folder: &Path, name: &str, passphrase: &str, kind: &str) -> PathBuf {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-C", "bob@laptop", "-N", passphrase, "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen (package openssh-client) is installed");
    assert!(made.success());
    path
}

fn public_line(key: &Path) -> String {
    std::fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

fn statement() -> Statement {
    Statement {
        format: Statement::FORMAT,
        fleet: "demo".parse().unwrap(),
        request: "7f3abcdefgh2".parse().unwrap(),
        terms: Sha256Hex::of(b"terms"),
        decision: ReviewDecision::Approve,
        reviewer: "bob".parse().unwrap(),
        reviewed_at: UnixTime(1_795_442_400),
    }
}

fn roster_with(line: String) -> Verified<Roster> {
    let roster = Roster {
        format: Roster::FORMAT,
        fleet: "demo".parse().unwrap(),
        version: 1,
        issued_at: UnixTime(0),
        expires_at: UnixTime(i64::MAX),
        reviewers: vec![Reviewer { name: "bob".parse().unwrap(), keys: vec![line], groups: vec![] }],
    };
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let envelope = dsse::sign(&roster, &[&key]);
    let public = stint_grant::keys::PublicKey::of(&key);
    dsse::verify(&envelope, &[dsse::Signers { keys: vec![&public], threshold: 1 }]).unwrap()
}

/// What `ssh-keygen -Y verify` says of a review.
fn openssh_accepts(folder: &Path, line: &str, namespace: &str, review: &SignedReview) -> bool {
    let (allowed, signature) = (folder.join("allowed"), folder.join("sig"));
    std::fs::write(&allowed, format!("bob {line}\n")).unwrap();
    std::fs::write(&signature, &review.signature).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "bob", "-n", namespace, "-f"])
        .arg(&allowed)
        .arg("-s")
        .arg(&signature)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It may refuse before it reads.
    let _ = child.stdin.take().unwrap().write_all(review.statement.as_bytes());
    child.wait().unwrap().success()
}

#[test]
fn a_review_holds_for_the_host_and_for_openssh() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "", "ed25519");
    let line = public_line(&path);
    let review = Signer::open(&path, None).unwrap().sign(&statement()).unwrap();
    assert_eq!(*review::verify(&review, &roster_with(line.clone())).unwrap(), statement());
    assert!(openssh_accepts(folder.path(), &line, "stint-review", &review));
    assert!(!openssh_accepts(folder.path(), &line, "file", &review), "the namespace counts");
}

#[test]
fn a_changed_statement_holds_for_neither() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "", "ed25519");
    let line = public_line(&path);
    let mut review = Signer::open(&path, None).unwrap().sign(&statement()).unwrap();
    review.statement = review.statement.replace("approve", "deny");
    assert!(review::verify(&review, &roster_with(line.clone())).is_err());
    assert!(!openssh_accepts(folder.path(), &line, "stint-review", &review));
}

#[test]
fn an_encrypted_key_signs_with_its_passphrase_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "correct horse", "ed25519");
    let secret = folder.path().join("pass");
    std::fs::write(&secret, "correct horse\n").unwrap();
    let review = Signer::open(&path, Some(&secret)).unwrap().sign(&statement()).unwrap();
    assert!(openssh_accepts(folder.path(), &public_line(&path), "stint-review", &review));

    std::fs::write(&secret, "wrong\n").unwrap();
    let failure = Signer::open(&path, Some(&secret)).err().unwrap();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.ends_with("the passphrase is wrong"), "{}", failure.message);
}

#[test]
fn a_key_of_another_kind_is_refused_before_anything_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "", "ecdsa");
    let failure = Signer::open(&path, None).err().unwrap();
    assert!(failure.message.contains("reviews are signed with Ed25519 keys"), "{}", failure.message);
    let failure = Signer::open(&path.with_extension("pub"), None).err().unwrap();
    assert!(failure.message.contains("reviews are signed with Ed25519 keys"), "{}", failure.message);
}

#[test]
fn what_is_no_key_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hello").unwrap();
    assert_eq!(Signer::open(file.path(), None).err().unwrap().exit, Exit::Usage);
    assert_eq!(Signer::open(Path::new("/nowhere/id"), None).err().unwrap().exit, Exit::NotFound);
}

/// A real agent; it ends with the test.
struct RunningAgent(Child);

impl Drop for RunningAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_agent(socket: &Path) -> RunningAgent {
    let mut child = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(socket)
        .stdout(Stdio::piped())
        .spawn()
        .expect("ssh-agent (package openssh-client) is installed");
    // It prints its socket once it listens there.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    RunningAgent(child)
}

#[test]
fn the_agent_signs_for_a_public_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "", "ed25519");
    let socket = folder.path().join("agent.sock");
    let _agent = start_agent(&socket);
    let added = Command::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    assert!(added.success());

    let public = PublicKey::from_openssh(&public_line(&path)).unwrap();
    let signer = Signer::Agent(Agent::at(socket), public);
    let review = signer.sign(&statement()).unwrap();
    assert!(review::verify(&review, &roster_with(public_line(&path))).is_ok());
    assert!(openssh_accepts(folder.path(), &public_line(&path), "stint-review", &review));
}

#[test]
fn an_agent_without_the_key_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_key(folder.path(), "key", "", "ed25519");
    let socket = folder.path().join("agent.sock");
    let _agent = start_agent(&socket);
    let public = PublicKey::from_openssh(&public_line(&path)).unwrap();
    let failure = Signer::Agent(Agent::at(socket), public).sign(&statement()).unwrap_err();
    assert_eq!(failure.message, "the SSH agent did not sign");
}
