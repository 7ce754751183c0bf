//! Inclusion and consistency proofs: made from leaf hashes, verified from roots alone.
//!
//! Verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, with their names `fn` and `sn` written out.

use super::{empty_root, node_hash, root, split};
use crate::Hash;

/// A proof that cannot be made, or that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in a tree of this size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    OutOfRange {
        /// The leaf asked for, from 0.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is said to be larger than the newer.
    #[error("a tree of {old} leaves cannot have come before one of {new} leaves")]
    Shrunk {
        /// The size of the older tree.
        old: u64,
        /// The size of the newer tree.
        new: u64,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes for these tree sizes")]
    WrongLength,
    /// The proof leads to another root.
    #[error("the proof does not lead to the given root")]
    WrongRoot,
}

/// The proof that leaf `index` is in the tree over `leaves`.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Result<Vec<Hash>, ProofError> {
    if index >= leaves.len() {
        return Err(ProofError::OutOfRange { index: index as u64, size: leaves.len() as u64 });
    }
    let mut proof = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the leaf with hash `leaf` is number `index` (from 0) in the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    tree_root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_absent_siblings(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *tree_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// The proof that the tree over the first `old_size` leaves is the beginning of the tree over all of them.
pub fn consistency_proof(leaves: &[Hash], old_size: usize) -> Result<Vec<Hash>, ProofError> {
    if old_size > leaves.len() {
        return Err(ProofError::Shrunk { old: old_size as u64, new: leaves.len() as u64 });
    }
    let mut proof = Vec::new();
    if old_size == 0 || old_size == leaves.len() {
        return Ok(proof);
    }
    let (mut leaves, mut old_size, mut whole) = (leaves, old_size, true);
    while old_size < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old_size <= left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            old_size -= left.len();
            leaves = right;
            whole = false;
        }
    }
    // Where the old tree is itself a subtree of the new one, the verifier has its root already.
    if !whole {
        proof.push(root(leaves));
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the tree of `old_size` leaves is the beginning of the tree of `new_size` leaves.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        let expected = if old_size == 0 { empty_root() } else { *new_root };
        let new_is_possible = new_size != 0 || *new_root == empty_root();
        return match (proof.is_empty(), *old_root == expected && new_is_possible) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::WrongRoot),
            (true, true) => Ok(()),
        };
    }

    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::WrongLength)?;
        (*first, rest)
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let complete = node.trailing_ones();
    node >>= complete;
    last >>= complete;

    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_absent_siblings(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// A node at the right edge that is a left child has no sibling: it moves up as it is.
fn skip_absent_siblings(node: &mut u64, last: &mut u64) {
    while *node != 0 && *node & 1 == 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests;
