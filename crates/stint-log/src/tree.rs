//! The Merkle tree of RFC 6962 (and RFC 9162, section 2.1) over SHA-256.

mod proof;
mod range;

pub use proof::{ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
pub use range::{CompactRange, RangeError};

use crate::Hash;

/// The hash of a leaf: SHA-256(0x00 || data).
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash::of_parts(&[&[0], data])
}

/// The hash of a node: SHA-256(0x01 || left || right). The other prefix keeps a node from passing as a leaf.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of the tree with no leaves: the SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// The root over all these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `size`, where a tree of two leaves or more parts.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}
