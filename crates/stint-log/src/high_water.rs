//! The high-water mark: up to where a receiver holds a host's journal durably and without a gap.
//!
//! The host ships its records in order and may send any of them again. The receiver decides with [`judge`], stores what
//! is new, and only then answers with its mark, signed. The host deletes only below a mark whose signature holds and that equals
//! [`HighWater::of`] its own record of that number.

use serde::{Deserialize, Serialize};

use crate::Hash;
use crate::record::{Header, Record};
use crate::strict::Object;

/// The last record that is held durably, with everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Object")]
pub struct HighWater {
    /// The log epoch.
    pub epoch: u64,
    /// The number of the record.
    pub seq: u64,
    /// The SHA-256 of its bytes.
    pub hash: Hash,
}

/// What to do with a record that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the next one: store it, the mark rises to it.
    Next,
    /// It is the first of a new log epoch: store it, the mark moves to it. Worth telling: the host began its journal anew.
    NewEpoch,
    /// It is held already, the same bytes: do nothing, answer with the mark.
    Known,
}

/// Why a record is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Records before it have not arrived: the host sends again from the one named.
    #[error("records are missing; send again from epoch {epoch}, record {seq}")]
    Gap {
        /// The log epoch expected.
        epoch: u64,
        /// The number expected.
        seq: u64,
    },
    /// Other bytes are held under this number. An alarm: the host shows two pasts.
    #[error(
        "epoch {epoch}, record {seq}: other bytes are held under this number; the journal was rewritten or copied"
    )]
    Rewritten {
        /// The log epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
    /// It does not carry the hash of the record before it. An alarm.
    #[error(
        "epoch {epoch}, record {seq}: it does not follow the record that is held before it; the journal was rewritten or copied"
    )]
    BrokenChain {
        /// The log epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
    /// A record that should be held by its number, and is not. An alarm: it adds to an epoch that is over, or the receiver lost it.
    #[error("epoch {epoch}, record {seq}: it lies below the mark, but is not held; the past cannot grow")]
    NotHeld {
        /// The log epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
}

impl Refused {
    /// Whether a person must hear of it. Only a gap is ordinary.
    pub const fn is_alarm(&self) -> bool {
        !matches!(self, Self::Gap { .. })
    }
}

impl HighWater {
    /// The mark that stands on this record.
    pub fn of(header: &Header, bytes: &[u8]) -> Self {
        Self { epoch: header.epoch, seq: header.seq, hash: Hash::of(bytes) }
    }
}

/// The receiver's rule for one record of a host whose journal is held up to `mark`.
///
/// `record` was parsed from `bytes`, and names the host that the connection belongs to. `held` looks up the hash that is
/// stored under an epoch and a number; it is asked only for records at or below the mark.
pub fn judge(
    mark: Option<&HighWater>,
    record: &Record,
    bytes: &[u8],
    held: impl FnOnce(u64, u64) -> Option<Hash>,
) -> Result<Taken, Refused> {
    let Header { epoch, seq, prev, .. } = record.header;
    let Some(mark) = mark else { return begin(epoch, seq, prev) };
    if epoch > mark.epoch {
        return begin(epoch, seq, prev);
    }
    if (epoch, seq) <= (mark.epoch, mark.seq) {
        return match held(epoch, seq) {
            Some(hash) if hash == Hash::of(bytes) => Ok(Taken::Known),
            Some(_) => Err(Refused::Rewritten { epoch, seq }),
            None => Err(Refused::NotHeld { epoch, seq }),
        };
    }
    // The same epoch, above the mark: `mark.seq` is below `seq` and so below the largest number.
    if seq != mark.seq + 1 {
        return Err(Refused::Gap { epoch, seq: mark.seq + 1 });
    }
    if prev == mark.hash { Ok(Taken::Next) } else { Err(Refused::BrokenChain { epoch, seq }) }
}

/// An epoch begins with record 0 and nothing before it.
fn begin(epoch: u64, seq: u64, prev: Hash) -> Result<Taken, Refused> {
    match (seq, prev == Hash::ZERO) {
        (0, true) => Ok(Taken::NewEpoch),
        (0, false) => Err(Refused::BrokenChain { epoch, seq }),
        _ => Err(Refused::Gap { epoch, seq: 0 }),
    }
}

impl TryFrom<Object> for HighWater {
    type Error = serde_json::Error;

    fn try_from(object: Object) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            epoch: u64,
            seq: u64,
            hash: Hash,
        }
        object.build().map(|Wire { epoch, seq, hash }| Self { epoch, seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::chain::Chain;
    use crate::record::Event;

    /// A receiver as the broker is one: a table and the mark.
    #[derive(Default)]
    struct Receiver {
        table: BTreeMap<(u64, u64), Hash>,
        mark: Option<HighWater>,
    }

    impl Receiver {
        fn take(&mut self, bytes: &[u8]) -> Result<Taken, Refused> {
            let record = Record::parse(bytes).unwrap();
            let held = |epoch, seq| self.table.get(&(epoch, seq)).copied();
            let taken = judge(self.mark.as_ref(), &record, bytes, held)?;
            if taken != Taken::Known {
                let mark = HighWater::of(&record.header, bytes);
                self.table.insert((mark.epoch, mark.seq), mark.hash);
                self.mark = Some(mark);
            }
            Ok(taken)
        }
    }

    fn journal(epoch: u64, count: i64, offset: i64) -> Vec<Vec<u8>> {
        let mut chain = Chain::new("web-01", epoch).unwrap();
        (0..count).map(|i| chain.append(&Event::Heartbeat {}, offset + i, "b0").unwrap()).collect()
    }

    fn holding(records: &[Vec<u8>]) -> Receiver {
        let mut receiver = Receiver::default();
        for record in records {
            receiver.take(record).unwrap();
        }
        receiver
    }

    #[test]
    fn records_in_order_raise_the_mark() {
        let records = journal(0, 3, 0);
        let receiver = holding(&records);
        assert_eq!(receiver.mark, Some(HighWater { epoch: 0, seq: 2, hash: Hash::of(&records[2]) }));
    }

    #[test]
    fn a_record_sent_again_changes_nothing() {
        let records = journal(0, 3, 0);
        let mut receiver = holding(&records);
        let mark = receiver.mark;
        for record in &records {
            assert_eq!(receiver.take(record), Ok(Taken::Known));
        }
        assert_eq!(receiver.mark, mark);
    }

    #[test]
    fn other_bytes_under_a_known_number_are_an_alarm() {
        let mut receiver = holding(&journal(0, 3, 0));
        for (seq, record) in journal(0, 3, 100).iter().enumerate() {
            let refused = receiver.take(record).unwrap_err();
            assert_eq!(refused, Refused::Rewritten { epoch: 0, seq: seq as u64 });
            assert!(refused.is_alarm());
        }
    }

    #[test]
    fn a_gap_is_refused_with_the_number_expected() {
        let records = journal(0, 6, 0);
        let mut receiver = holding(&records[..3]);
        let refused = receiver.take(&records[5]).unwrap_err();
        assert_eq!(refused, Refused::Gap { epoch: 0, seq: 3 });
        assert!(!refused.is_alarm());
        assert_eq!(Receiver::default().take(&records[1]), Err(Refused::Gap { epoch: 0, seq: 0 }));
    }

    #[test]
    fn a_next_record_of_another_past_is_an_alarm() {
        let mut receiver = holding(&journal(0, 3, 0));
        let refused = receiver.take(&journal(0, 4, 100)[3]).unwrap_err();
        assert_eq!(refused, Refused::BrokenChain { epoch: 0, seq: 3 });
        assert!(refused.is_alarm());
    }

    #[test]
    fn a_new_epoch_begins_at_its_first_record_and_the_old_one_is_over() {
        let old = journal(0, 4, 0);
        let new = journal(1, 2, 50);
        let mut receiver = holding(&old[..3]);
        assert_eq!(receiver.take(&new[1]), Err(Refused::Gap { epoch: 1, seq: 0 }));
        assert_eq!(receiver.take(&new[0]), Ok(Taken::NewEpoch));
        assert_eq!(receiver.take(&old[1]), Ok(Taken::Known));
        assert_eq!(receiver.take(&old[3]), Err(Refused::NotHeld { epoch: 0, seq: 3 }));
        assert_eq!(receiver.take(&new[1]), Ok(Taken::Next));
    }

    #[test]
    fn a_first_record_with_something_before_it_is_an_alarm() {
        let header = Header { prev: Hash::of(b"x"), ..Record::parse(&journal(1, 1, 0)[0]).unwrap().header };
        let bytes = header.write(&Event::Heartbeat {}).unwrap();
        let refused = Err(Refused::BrokenChain { epoch: 1, seq: 0 });
        assert_eq!(Receiver::default().take(&bytes), refused);
        assert_eq!(holding(&journal(0, 2, 0)).take(&bytes), refused);
    }

    #[test]
    fn a_mark_at_the_largest_number_does_not_overflow() {
        let mark = HighWater { epoch: u64::MAX, seq: u64::MAX, hash: Hash::ZERO };
        let bytes = &journal(u64::MAX, 1, 0)[0];
        let record = Record::parse(bytes).unwrap();
        let verdict = judge(Some(&mark), &record, bytes, |_, _| None);
        assert_eq!(verdict, Err(Refused::NotHeld { epoch: u64::MAX, seq: 0 }));
    }

    #[test]
    fn a_mark_is_read_from_one_shape_only() {
        let mark = HighWater { epoch: 1, seq: 2, hash: Hash::of(b"x") };
        let good = serde_json::to_string(&mark).unwrap();
        assert_eq!(serde_json::from_str::<HighWater>(&good).unwrap(), mark);
        for bad in [
            format!(r#"[1,2,"{}"]"#, mark.hash),
            good.replace('}', r#","more":1}"#),
            good.replace('}', r#","seq":3}"#),
            good.replace("\"epoch\":1,", ""),
            good.replace(":2", ":2.0"),
        ] {
            assert!(serde_json::from_str::<HighWater>(&bad).is_err(), "{bad}");
        }
    }
}
