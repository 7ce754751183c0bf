//! Passwords, hashed with Argon2id. Hashing takes its turn, so that a flood of attempts cannot take all memory; and the queue for it is
//! bounded, so that people who come in a flood are told so at once instead of waiting in vain.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use crate::error::{Outcome, Problem};

/// The shortest password that a person may choose.
const SHORTEST: usize = 12;
const LONGEST: usize = 256;

static QUEUE: Queue = Queue::new(2, 64);

/// Who hashes, and who waits for that.
struct Queue {
    turns: Semaphore,
    places: Semaphore,
}

/// A place in the queue. Taken before anything is counted against whoever comes.
pub struct Ticket {
    queue: &'static Queue,
    _place: SemaphorePermit<'static>,
}

/// What whoever finds no place is told.
pub fn busy() -> Problem {
    Problem::busy("too many people sign in or change passwords at this moment", "try again in a few seconds")
}

/// A place in the queue, or that it is full.
pub fn queue() -> Outcome<Ticket> {
    QUEUE.enter()
}

impl Queue {
    const fn new(turns: usize, places: usize) -> Self {
        Self { turns: Semaphore::const_new(turns), places: Semaphore::const_new(places) }
    }
    fn enter(&'static self) -> Outcome<Ticket> {
        Ok(Ticket { queue: self, _place: self.places.try_acquire().map_err(|_| busy())? })
    }
}

impl Ticket {
    /// Does the work in its turn. The turn goes with the work, which nobody can call off: not even who asked for it and left.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let turn = self.queue.turns.acquire().await.map_err(Problem::internal)?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
    }
}

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
pub async fn hash(ticket: &Ticket, password: Zeroizing<String>) -> Outcome<String> {
    ticket.work(move || hash_now(&password)).await?.map_err(Problem::internal)
}

/// Whether a password is the one of a stored hash. Without a hash (no such user) it takes as long, and is wrong.
pub async fn verify(ticket: &Ticket, password: Zeroizing<String>, stored: Option<String>) -> Outcome<bool> {
    let work = move || match &stored {
        Some(stored) => PasswordHash::new(stored)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
        None => hash_now(&password).is_err(),
    };
    ticket.work(work).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_told_at_once_and_has_room_again_after_the_work() {
        static SMALL: Queue = Queue::new(1, 2);
        let (go, wait) = mpsc::channel::<()>();
        let first = SMALL.enter().unwrap();
        let work = tokio::spawn(async move { first.work(move || wait.recv().is_ok()).await });
        let second = SMALL.enter().unwrap();
        let answer = SMALL.enter().err().expect("no third place").into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse::<u32>().unwrap() > 0);
        go.send(()).unwrap();
        assert!(work.await.unwrap().unwrap());
        drop(second);
        assert!(SMALL.enter().is_ok());
    }

    #[tokio::test]
    async fn who_asks_and_leaves_does_not_let_more_work_run_at_once() {
        static ONE: Queue = Queue::new(1, 8);
        let (go, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let ticket = ONE.enter().unwrap();
        let asked = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                wait.recv().is_ok()
            };
            ticket.work(work).await
        });
        has_begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(ONE.turns.available_permits(), 0, "the work goes on, and so does its turn");
        go.send(()).unwrap();
        ONE.enter().unwrap().work(|| ()).await.unwrap();
    }
}
