//! Taking records in: all of a shipment that is good, or nothing of it.

use ed25519_dalek::VerifyingKey;
use stint_api::audit::ShipRecords;
use stint_api::grants::OpeningView;
use stint_log::Hash;
use stint_log::chain::Chain;
use stint_log::high_water::{self, HighWater, Refused, Taken};
use stint_log::record::{Body, Event, Record};

use crate::error::Problem;
use crate::grant;
use crate::journal::store;
use crate::recording;
use crate::store::Conn;

/// The most records in one shipment.
pub const MOST_RECORDS: usize = 5000;

/// Why a shipment was refused.
#[derive(Debug)]
pub enum Fault {
    /// Something that people must hear of: the host shows two pasts, or its signature does not hold.
    Alarm(String),
    /// Something ordinary.
    Problem(Problem),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// What became of a shipment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Up to where the journal is held now.
    pub mark: Mark,
    /// How many records were new.
    pub new: usize,
    /// Whether the host began its journal anew.
    pub new_epoch: bool,
    /// Whether a checkpoint was kept.
    pub checkpoint: bool,
    /// What is told of break-glass codes.
    pub codes: Vec<Event>,
}

/// Up to where a journal is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The log's epoch.
    pub epoch: u64,
    /// How many records, from 0 without a gap.
    pub size: u64,
    /// The hash of the last one; zeros if there is none.
    pub hash: Hash,
}

impl Mark {
    /// The mark of a host of whose journal nothing is held.
    pub const NOTHING: Self = Self { epoch: 0, size: 0, hash: Hash::ZERO };

    /// The mark of a chain.
    pub fn of(chain: &Chain) -> Self {
        Self { epoch: chain.epoch(), size: chain.next_seq(), hash: chain.prev_hash() }
    }
}

/// Takes a shipment of a host in, inside the caller's transaction.
pub async fn take(
    conn: &mut Conn,
    host: &str,
    key: &VerifyingKey,
    shipment: &ShipRecords,
) -> Result<Receipt, Fault> {
    if shipment.records.len() > MOST_RECORDS {
        let next = format!("ship at most {MOST_RECORDS} at a time");
        return Err(Problem::bad_input(format!("{} records at once", shipment.records.len()), next).into());
    }
    let mut chain = store::chain(conn, host).await?;
    let mut receipt =
        Receipt { mark: Mark::NOTHING, new: 0, new_epoch: false, checkpoint: false, codes: Vec::new() };
    let mut checkpoint = Pending { text: shipment.checkpoint.as_deref(), key };
    receipt.checkpoint |= checkpoint.keep_if_due(conn, host, chain.as_ref()).await?;
    for text in &shipment.records {
        let began = take_one(conn, host, &mut chain, text, &mut receipt.codes).await?;
        receipt.new += usize::from(began.is_some());
        receipt.new_epoch |= began == Some(true);
        receipt.checkpoint |= checkpoint.keep_if_due(conn, host, chain.as_ref()).await?;
    }
    checkpoint.refuse_if_ahead(chain.as_ref())?;
    if let Some(chain) = &chain {
        receipt.mark = Mark::of(chain);
        store::set_chain(conn, host, chain).await?;
    }
    Ok(receipt)
}

/// Takes one record. `None` if it was held already, else whether it began another epoch than the one before.
async fn take_one(
    conn: &mut Conn,
    host: &str,
    chain: &mut Option<Chain>,
    text: &str,
    codes: &mut Vec<Event>,
) -> Result<Option<bool>, Fault> {
    let bytes = text.as_bytes();
    let unreadable = |e: &dyn std::fmt::Display| {
        Fault::Problem(Problem::bad_input(
            format!("journal: {e}"),
            "update stint on the host, or on the broker",
        ))
    };
    let record = Record::parse(bytes).map_err(|e| unreadable(&e))?;
    if record.header.host != host {
        return Err(Fault::Alarm(format!("a record of host {} was shipped by {host}", record.header.host)));
    }
    let mark = chain.as_ref().filter(|c| c.next_seq() > 0).map(|c| HighWater {
        epoch: c.epoch(),
        seq: c.next_seq() - 1,
        hash: c.prev_hash(),
    });
    let held = store::hash(conn, host, record.header.epoch, record.header.seq).await?;
    match high_water::judge(mark.as_ref(), &record, bytes, |_, _| held) {
        Ok(Taken::Known) => return Ok(None),
        Ok(Taken::Next | Taken::NewEpoch) => {}
        Err(refused @ Refused::Gap { .. }) => {
            return Err(Problem::conflict(
                refused.to_string(),
                "send again from there: see GET /v1/host/audit",
            )
            .into());
        }
        Err(alarm) => return Err(Fault::Alarm(alarm.to_string())),
    }
    let again = mark.is_some_and(|m| record.header.epoch > m.epoch);
    let mut next = match chain.take().filter(|_| !again) {
        Some(chain) if chain.epoch() == record.header.epoch => chain,
        _ => Chain::new(host, record.header.epoch).map_err(|e| unreadable(&e))?,
    };
    next.verify_next(bytes).map_err(|e| Fault::Alarm(e.to_string()))?;
    store::add_record(conn, host, record.header.epoch, record.header.seq, text).await?;
    // A host speaks of grants on itself only: of another's it is kept nowhere but in its journal.
    if let Body::Known(event @ Event::Receipt { grant, .. }) = &record.body
        && let Some(line) = event.outcome()
    {
        store::set_receipt(conn, host, grant, &line, record.header.at).await?;
    }
    if let Body::Known(event) = &record.body {
        recording::store::note(conn, host, event, record.header.at).await?;
    }
    if let Body::Known(event @ (Event::CodeRefused { .. } | Event::CodeUsed { .. })) = &record.body {
        if let Event::CodeUsed { grant, code, reason, until, .. } = event {
            let opening = OpeningView {
                host: host.to_owned(),
                code: code.clone(),
                reason: reason.clone(),
                at: record.header.at,
                until: *until,
            };
            if store::add_opening(conn, host, grant, &opening).await? {
                grant::store::bump(conn, grant).await?;
            }
        }
        codes.push(event.clone());
    }
    *chain = Some(next);
    Ok(Some(again))
}

/// The checkpoint that came along: compared and kept as soon as the chain has its size.
struct Pending<'a> {
    text: Option<&'a str>,
    key: &'a VerifyingKey,
}

impl Pending<'_> {
    async fn keep_if_due(
        &mut self,
        conn: &mut Conn,
        host: &str,
        chain: Option<&Chain>,
    ) -> Result<bool, Fault> {
        let (Some(text), Some(chain)) = (self.text, chain) else { return Ok(false) };
        // Only the newest epoch is compared: a checkpoint of an older one opens under another name, and waits in vain.
        let Ok(checkpoint) = chain.open_checkpoint(text.as_bytes(), self.key) else { return Ok(false) };
        if checkpoint.size > chain.next_seq() {
            return Ok(false);
        }
        self.text = None;
        if checkpoint.size < chain.next_seq() {
            // Its size was passed in an earlier shipment: its root cannot be compared any more, and it says nothing new.
            return Ok(false);
        }
        if checkpoint.root != chain.tree().root() {
            return Err(Fault::Alarm(format!(
                "the host signed other records than it shipped: the root of its first {} differs",
                checkpoint.size
            )));
        }
        store::add_checkpoint(conn, host, chain.epoch(), checkpoint.size, text).await?;
        Ok(true)
    }

    fn refuse_if_ahead(&self, chain: Option<&Chain>) -> Result<(), Fault> {
        let Some(text) = self.text else { return Ok(()) };
        let Some(chain) = chain else {
            return Err(Problem::conflict(
                "a checkpoint came before the first record",
                "ship the records first",
            )
            .into());
        };
        match chain.open_checkpoint(text.as_bytes(), self.key) {
            Ok(ahead) => Err(Problem::conflict(
                format!("the checkpoint covers {} records, {} are held", ahead.size, chain.next_seq()),
                "ship the records up to it first",
            )
            .into()),
            Err(cause) => Err(Fault::Alarm(format!("checkpoint: {cause}"))),
        }
    }
}
