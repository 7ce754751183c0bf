use super::super::{CompactRange, leaf_hash};
use super::*;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn flipped(hash: &Hash) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[17] ^= 0x20;
    Hash::from_bytes(bytes)
}

/// Every way to spoil a proof by one hash: changed, dropped, doubled, one too many.
fn spoiled(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[proof, &[Hash::ZERO]].concat()];
    for i in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[i] = flipped(&changed[i]);
        let mut dropped = proof.to_vec();
        dropped.remove(i);
        let mut doubled = proof.to_vec();
        doubled.insert(i, proof[i]);
        all.extend([changed, dropped, doubled]);
    }
    all
}

#[test]
fn every_leaf_of_every_small_tree_is_proved_and_no_spoiled_proof_holds() {
    for size in 1..=65_usize {
        let leaves = leaves(size as u64);
        let tree = root(&leaves);
        for index in 0..size {
            let proof = inclusion_proof(&leaves, index).unwrap();
            let check = |leaf: &Hash, index: usize, proof: &[Hash], tree: &Hash| {
                verify_inclusion(leaf, index as u64, size as u64, proof, tree)
            };
            assert_eq!(check(&leaves[index], index, &proof, &tree), Ok(()), "leaf {index} of {size}");
            assert!(check(&flipped(&leaves[index]), index, &proof, &tree).is_err());
            assert!(check(&leaves[index], index, &proof, &flipped(&tree)).is_err());
            for wrong in (0..size).filter(|wrong| *wrong != index) {
                assert!(check(&leaves[index], wrong, &proof, &tree).is_err(), "{index} as {wrong} of {size}");
            }
            for bad in spoiled(&proof) {
                assert!(check(&leaves[index], index, &bad, &tree).is_err(), "leaf {index} of {size}");
            }
        }
    }
}

#[test]
fn every_pair_of_small_trees_is_proved_consistent_and_no_spoiled_proof_holds() {
    for new in 0..=65_usize {
        let leaves = leaves(new as u64);
        let new_root = root(&leaves);
        for old in 0..=new {
            let old_root = root(&leaves[..old]);
            let proof = consistency_proof(&leaves, old).unwrap();
            let check = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                verify_consistency(old as u64, old_root, new as u64, new_root, proof)
            };
            assert_eq!(check(&old_root, &new_root, &proof), Ok(()), "{old} to {new}");
            assert!(check(&flipped(&old_root), &new_root, &proof).is_err(), "{old} to {new}");
            // Any tree whatever begins with the empty one.
            if old > 0 || new == 0 {
                assert!(check(&old_root, &flipped(&new_root), &proof).is_err(), "{old} to {new}");
            }
            for bad in spoiled(&proof) {
                assert!(check(&old_root, &new_root, &bad).is_err(), "{old} to {new}");
            }
        }
    }
}

#[test]
fn a_rewritten_past_has_no_consistency_proof() {
    let honest = leaves(20);
    let mut rewritten = honest.clone();
    rewritten[3] = flipped(&rewritten[3]);
    for old in 4..20 {
        let proof = consistency_proof(&rewritten, old).unwrap();
        let verdict = verify_consistency(old as u64, &root(&honest[..old]), 20, &root(&rewritten), &proof);
        assert_eq!(verdict, Err(ProofError::WrongRoot), "from {old}");
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let leaves = leaves(4);
    assert_eq!(inclusion_proof(&leaves, 4), Err(ProofError::OutOfRange { index: 4, size: 4 }));
    assert_eq!(consistency_proof(&leaves, 5), Err(ProofError::Shrunk { old: 5, new: 4 }));
    assert_eq!(
        verify_inclusion(&leaves[0], 0, 0, &[], &empty_root()),
        Err(ProofError::OutOfRange { index: 0, size: 0 })
    );
    assert_eq!(
        verify_consistency(5, &Hash::ZERO, 4, &Hash::ZERO, &[]),
        Err(ProofError::Shrunk { old: 5, new: 4 })
    );
}

#[test]
fn the_largest_sizes_do_not_overflow() {
    let hash = leaf_hash(b"x");
    assert!(verify_inclusion(&hash, u64::MAX - 1, u64::MAX, &[hash; 64], &hash).is_err());
    assert!(verify_consistency(u64::MAX - 1, &hash, u64::MAX, &hash, &[hash; 64]).is_err());
    assert!(verify_consistency(1, &hash, u64::MAX, &hash, &[]).is_err());
}

/// The leaves and roots of the Certificate Transparency test suite.
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_leaves() -> Vec<Hash> {
    CT_LEAVES.iter().map(|hex| leaf_hash(&data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())).collect()
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|hex| hex.parse().unwrap()).collect()
}

#[test]
fn the_certificate_transparency_roots_come_out() {
    let leaves = ct_leaves();
    let mut range = CompactRange::new();
    for (size, expected) in CT_ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..size]).to_string(), *expected, "size {size}");
        assert_eq!(range.root().to_string(), *expected, "size {size}");
        if let Some(leaf) = leaves.get(size) {
            range.append_leaf_hash(*leaf);
        }
    }
}

#[test]
fn the_certificate_transparency_proofs_come_out() {
    let leaves = ct_leaves();
    let first_of_eight = hashes(&[
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    assert_eq!(inclusion_proof(&leaves, 0), Ok(first_of_eight));
    let six_to_eight = hashes(&[
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
    assert_eq!(consistency_proof(&leaves, 6), Ok(six_to_eight));
}
