//! The Merkle tree over a bundle's shards (RFC 6962, section 2.1: leaves and nodes are hashed apart).

use sha2::{Digest, Sha256};

use crate::ids::Sha256Hex;
use crate::strict::document;

type Hash = [u8; 32];

document! {
    /// The way from one leaf to the root.
    pub struct Proof {
        /// Which leaf, from 0.
        pub index: u64,
        /// The siblings on the way up, lowest first.
        pub path: Vec<Sha256Hex>,
    }
}

fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(bytes).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

fn hex(hash: &Hash) -> Sha256Hex {
    Sha256Hex::from_digest(hash)
}

/// Each level of the tree from the leaves up. An odd node goes up as it is, which is RFC 6962's tree for every size.
fn levels<T: AsRef<[u8]>>(leaves: &[T]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.iter().map(|l| leaf(l.as_ref())).collect::<Vec<_>>()];
    while let Some(last) = levels.last().filter(|l| l.len() > 1) {
        let next = last.chunks(2).map(|c| if let [l, r] = c { node(l, r) } else { c[0] }).collect();
        levels.push(next);
    }
    levels
}

/// The root over some leaves; of none, the hash of nothing.
pub fn root<T: AsRef<[u8]>>(leaves: &[T]) -> Sha256Hex {
    levels(leaves).last().and_then(|l| l.first()).map_or_else(|| Sha256Hex::of(b""), hex)
}

/// The proofs of all leaves, in order.
pub fn proofs<T: AsRef<[u8]>>(leaves: &[T]) -> Vec<Proof> {
    let levels = levels(leaves);
    (0..leaves.len())
        .map(|index| {
            let siblings =
                levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1));
            Proof { index: index as u64, path: siblings.map(hex).collect() }
        })
        .collect()
}

/// Whether `bytes` is the leaf that the proof says, of a tree of `size` leaves with this root.
pub fn includes(expected: &Sha256Hex, size: u64, bytes: &[u8], proof: &Proof) -> bool {
    if proof.index >= size {
        return false;
    }
    let mut path = proof.path.iter();
    let (mut index, mut last, mut hash) = (proof.index, size - 1, leaf(bytes));
    while last > 0 {
        if index % 2 == 1 || index < last {
            let Some(sibling) = path.next().and_then(decode) else { return false };
            hash = if index % 2 == 1 { node(&sibling, &hash) } else { node(&hash, &sibling) };
        }
        (index, last) = (index / 2, last / 2);
    }
    path.next().is_none() && hex(&hash) == *expected
}

fn decode(hex: &Sha256Hex) -> Option<Hash> {
    data_encoding::HEXLOWER.decode(hex.as_str().as_bytes()).ok()?.try_into().ok()
}
