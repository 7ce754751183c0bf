//! The tree's right edge: enough to append and to know the root, in at most 64 hashes.

use serde::{Deserialize, Serialize};

use super::{empty_root, leaf_hash, node_hash};
use crate::Hash;
use crate::strict::Object;

/// A tree that only grows, without its leaves.
///
/// Serialised as `{"size": 3, "peaks": ["...", "..."]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Object")]
pub struct CompactRange {
    size: u64,
    /// The roots of the complete subtrees, largest first: one for each bit that is set in `size`.
    peaks: Vec<Hash>,
}

/// The parts do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The number of subtree hashes does not belong to the size.
    #[error(
        "a tree of {size} leaves has {expected} subtree hashes, not {found}; restore the state from a copy"
    )]
    Peaks {
        /// The size given.
        size: u64,
        /// How many hashes belong to it.
        expected: u32,
        /// How many were given.
        found: usize,
    },
    /// The stored form is not the right JSON.
    #[error("the stored tree is unreadable ({0}); restore the state from a copy")]
    Unreadable(String),
}

impl CompactRange {
    /// The tree with no leaves.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The tree that was stored as `size` and `peaks`.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Result<Self, RangeError> {
        let expected = size.count_ones();
        if usize::try_from(expected) == Ok(peaks.len()) {
            Ok(Self { size, peaks })
        } else {
            Err(RangeError::Peaks { size, expected, found: peaks.len() })
        }
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf by its data.
    ///
    /// # Panics
    ///
    /// After 2^64 - 1 leaves.
    pub fn append(&mut self, data: &[u8]) {
        self.append_leaf_hash(leaf_hash(data));
    }

    /// Adds a leaf by its [`leaf_hash`].
    ///
    /// # Panics
    ///
    /// After 2^64 - 1 leaves.
    pub fn append_leaf_hash(&mut self, leaf: Hash) {
        let new_size = self.size.checked_add(1).expect("nobody appends 2^64 leaves");
        // Each trailing one of the old size is a complete subtree that the new leaf makes part of a larger one.
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a set bit in the size has its hash");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.size = new_size;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}

impl Default for CompactRange {
    fn default() -> Self {
        Self::new()
    }
}

impl TryFrom<Object> for CompactRange {
    type Error = RangeError;

    fn try_from(object: Object) -> Result<Self, RangeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            size: u64,
            peaks: Vec<Hash>,
        }
        let wire: Wire = object.build().map_err(|error| RangeError::Unreadable(error.to_string()))?;
        Self::from_parts(wire.size, wire.peaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_size(size: u64) -> CompactRange {
        let mut range = CompactRange::new();
        (0..size).for_each(|i| range.append(&i.to_be_bytes()));
        range
    }

    #[test]
    fn the_range_has_the_root_of_the_whole_tree_at_every_size() {
        let leaves: Vec<Hash> = (0..130_u64).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut range = CompactRange::new();
        assert_eq!(range.root(), empty_root());
        for (i, leaf) in leaves.iter().enumerate() {
            range.append_leaf_hash(*leaf);
            assert_eq!(range.root(), super::super::root(&leaves[..=i]), "size {}", i + 1);
        }
    }

    #[test]
    fn a_stored_range_goes_on_where_it_stood() {
        let mut live = of_size(37);
        let mut restored: CompactRange =
            serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
        live.append(b"next");
        restored.append(b"next");
        assert_eq!(live, restored);
        assert_eq!(live.root(), restored.root());
    }

    #[test]
    fn a_stored_range_with_the_wrong_number_of_hashes_is_refused() {
        let peaks = of_size(7).peaks().to_vec();
        assert_eq!(
            CompactRange::from_parts(8, peaks),
            Err(RangeError::Peaks { size: 8, expected: 1, found: 3 })
        );
    }

    #[test]
    fn a_stored_range_of_another_shape_is_refused() {
        let good = serde_json::to_value(of_size(1)).unwrap();
        let peak = good["peaks"][0].as_str().unwrap();
        for bad in [
            format!(r#"[1,["{peak}"]]"#),
            format!(r#"{{"size":1,"peaks":["{peak}"],"more":0}}"#),
            format!(r#"{{"size":1,"size":1,"peaks":["{peak}"]}}"#),
            format!(r#"{{"size":1.0,"peaks":["{peak}"]}}"#),
            r#"{"size":1}"#.to_owned(),
        ] {
            assert!(serde_json::from_str::<CompactRange>(&bad).is_err(), "{bad}");
        }
    }
}
