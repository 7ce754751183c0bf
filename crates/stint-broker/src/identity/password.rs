//! Passwords, hashed with Argon2id. Hashing takes its turn, so that a flood of attempts cannot take all memory.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::error::{Outcome, Problem};

/// The shortest password that a person may choose.
const SHORTEST: usize = 12;
const LONGEST: usize = 256;

static TURNS: Semaphore = Semaphore::const_new(2);

/// Refuses a password that is too short, or absurdly long.
pub fn check(password: &str) -> Outcome<()> {
    let length = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) {
        return Err(Problem::bad_input(
            format!("the password has {length} characters"),
            format!("use {SHORTEST} to {LONGEST}: a few random words are best"),
        ));
    }
    Ok(())
}

/// The hash to store. Slow on purpose.
pub fn hash_now(password: &str) -> Result<String, String> {
    Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string()).map_err(|e| e.to_string())
}

/// As [`hash_now`], away from the async threads.
pub async fn hash(password: Zeroizing<String>) -> Outcome<String> {
    in_turn(move || hash_now(&password)).await?.map_err(Problem::internal)
}

/// Whether a password is the one of a stored hash. Without a hash (no such user) it takes as long, and is wrong.
pub async fn verify(password: Zeroizing<String>, stored: Option<String>) -> Outcome<bool> {
    in_turn(move || match &stored {
        Some(stored) => PasswordHash::new(stored)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
        None => hash_now(&password).is_err(),
    })
    .await
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    let _turn = TURNS.acquire().await.map_err(Problem::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
}
