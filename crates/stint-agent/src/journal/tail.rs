//! The durable records that the broker does not hold yet, in memory as well: to ship them, and to compare a mark with them, no segment is
//! read and verified anew. What does not fit is read from the disk.

use stint_log::Hash;
use stint_log::chain::Chain;

/// The most bytes that are kept.
const MAX_BYTES: usize = 1024 * 1024;

/// The newest records, from some point on.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The journal before them.
    start: Chain,
    records: Vec<Vec<u8>>,
    bytes: usize,
}

impl Tail {
    /// Nothing yet, after what the journal holds.
    pub(crate) fn after(durable: &Chain) -> Self {
        Self { start: durable.clone(), records: Vec::new(), bytes: 0 }
    }

    /// Records that have become durable, each with its newline; `durable` is the journal after them.
    pub(crate) fn extend(&mut self, lines: &[u8], durable: &Chain) {
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            self.bytes += line.len();
            self.records.push(line.to_vec());
        }
        let whole = self.start.epoch() == durable.epoch()
            && self.start.next_seq() + self.records.len() as u64 == durable.next_seq();
        if self.bytes > MAX_BYTES || !whole {
            *self = Self::after(durable);
        }
    }

    /// The hash of the last of `size` records, if they end within these.
    pub(crate) fn hash_at(&self, epoch: u64, size: u64) -> Option<Hash> {
        match self.place(epoch, size)? {
            0 => Some(self.start.prev_hash()),
            place => self.records.get(place - 1).map(|record| Hash::of(record)),
        }
    }

    /// The records after `size`, and the journal before them.
    pub(crate) fn since(&self, epoch: u64, size: u64) -> Option<(Chain, &[Vec<u8>])> {
        let place = self.place(epoch, size)?;
        let mut before = self.start.clone();
        let good = self.records[..place].iter().all(|record| before.verify_next(record).is_ok());
        good.then_some((before, &self.records[place..]))
    }

    /// Forgets those that the broker holds.
    pub(crate) fn forget(&mut self, epoch: u64, size: u64) {
        let Some((before, left)) = self.since(epoch, size) else { return };
        let left = left.to_vec();
        *self = Self { start: before, bytes: left.iter().map(Vec::len).sum(), records: left };
    }

    /// How many of these are among the first `size` records of the log epoch.
    fn place(&self, epoch: u64, size: u64) -> Option<usize> {
        let place = usize::try_from(size.checked_sub(self.start.next_seq())?).ok()?;
        (epoch == self.start.epoch() && place <= self.records.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use stint_log::record::Event;

    use super::*;

    fn grown(chain: &mut Chain, count: usize) -> Vec<u8> {
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.extend_from_slice(&chain.append(&Event::Heartbeat {}, 7, "0-1").unwrap());
            lines.push(b'\n');
        }
        lines
    }

    #[test]
    fn what_the_broker_holds_is_forgotten_and_the_rest_is_found() {
        let mut chain = Chain::new("web-01", 3).unwrap();
        grown(&mut chain, 5);
        let mut tail = Tail::after(&chain);
        let at_five = chain.prev_hash();
        let lines = grown(&mut chain, 4);
        tail.extend(&lines, &chain);
        assert_eq!(tail.hash_at(3, 5), Some(at_five));
        assert_eq!(tail.hash_at(3, 9), Some(chain.prev_hash()));
        for (epoch, size) in [(3, 4), (3, 10), (2, 7)] {
            assert!(tail.hash_at(epoch, size).is_none() && tail.since(epoch, size).is_none());
        }
        let (before, left) = tail.since(3, 7).unwrap();
        assert_eq!((before.next_seq(), left.len()), (7, 2));
        tail.forget(3, 7);
        assert!(tail.hash_at(3, 6).is_none());
        assert_eq!(tail.since(3, 7).unwrap().1.len(), 2);
        tail.forget(3, 9);
        assert_eq!(tail.since(3, 9).unwrap().1.len(), 0);
    }

    #[test]
    fn what_does_not_fit_and_what_does_not_follow_is_left_to_the_disk() {
        let mut chain = Chain::new("web-01", 0).unwrap();
        let mut tail = Tail::after(&chain);
        while tail.bytes <= MAX_BYTES / 2 {
            let lines = grown(&mut chain, 100);
            tail.extend(&lines, &chain);
        }
        assert!(tail.since(0, 0).is_some());
        while tail.since(0, 0).is_some() {
            let lines = grown(&mut chain, 100);
            tail.extend(&lines, &chain);
        }
        assert_eq!(tail.since(0, chain.next_seq()).unwrap().1.len(), 0);
        grown(&mut chain, 1);
        let lines = grown(&mut chain, 1);
        tail.extend(&lines, &chain);
        assert_eq!(tail.since(0, chain.next_seq()).unwrap().1.len(), 0, "one was missing");
    }
}
