//! Locks.

use std::time::Duration;

use stint_api::locks::{LockView, NewLock};
use tokio::time::{Instant, sleep};

use crate::args::{LockAddArgs, LockCommand};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{ids, show, wait};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn run(command: LockCommand, output: Output) -> Outcome {
    let session = Session::open().await?;
    match command {
        LockCommand::Ls => {
            let locks = session.client().locks().await?;
            output::show(output, &locks, |l| show::grant::locks(l, now()))
        }
        LockCommand::Add(args) => add(&session, args, output).await,
        LockCommand::Rm { id } => {
            let id = lock_id(&session, &id).await?;
            session.client().remove_lock(&id).await?;
            let gone = serde_json::json!({ "id": id, "lifted": true });
            output::show(output, &gone, |_| format!("Lock {id} lifted\n"))
        }
    }
}

async fn add(session: &Session, args: LockAddArgs, output: Output) -> Outcome {
    let (kind, target) = match (args.principal, args.host, args.grant) {
        (Some(name), _, _) => ("principal", name),
        (_, Some(host), _) => ("host", host),
        (_, _, Some(id)) => ("grant", session.grant_id(&id).await?),
        _ => return Err(Failure::usage("what is to be locked?").next("give --principal, --host or --grant")),
    };
    let new = NewLock { kind: kind.to_owned(), target, reason: args.reason, duration: args.duration };
    let mut lock = session.client().add_lock(&new).await?;
    if args.wait.wait {
        lock = settled(session, lock, args.wait.timeout).await?;
    }
    output::show(output, &lock, |l| show::grant::lock(l, now()))?;
    if args.wait.wait { wait::judge(&lock.effect, &format!("lock {}", lock.id)) } else { Ok(()) }
}

async fn settled(session: &Session, mut lock: LockView, timeout: u64) -> Outcome<LockView> {
    let end = Instant::now() + Duration::from_secs(timeout);
    while !show::effect::is_settled(&lock.effect) && Instant::now() < end {
        sleep(LOOK_AGAIN).await;
        lock = session.client().lock(&lock.id).await?;
    }
    Ok(lock)
}

async fn lock_id(session: &Session, typed: &str) -> Outcome<String> {
    let prefix = ids::normal(typed, "lock")?;
    let locks = session.client().locks().await?;
    ids::unique(&prefix, locks.iter().map(|l| l.id.as_str()), "lock")?.ok_or_else(|| Failure {
        next: Some("list them: stint lock ls".to_owned()),
        ..ids::missing(&prefix, "lock")
    })
}
