//! A sorted set that also knows each member's place, for queues of any length.
//!
//! Keys lie in sorted blocks of at most 256: finding is a binary search, adding and removing move one block's
//! keys, and a place is the sum of the blocks before it.

/// The keys at which a block is cut in two.
const BLOCK: usize = 256;

/// A sorted set with places.
#[derive(Clone, Debug)]
pub struct Ranked<K> {
    /// Sorted, none of them empty.
    blocks: Vec<Vec<K>>,
    len: usize,
}

impl<K> Default for Ranked<K> {
    fn default() -> Self {
        Ranked { blocks: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Copy> Ranked<K> {
    /// How many members there are; no walk.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest member.
    pub fn first(&self) -> Option<K> {
        self.blocks.first()?.first().copied()
    }

    /// The first key above this one, whether it is a member or not.
    pub fn after(&self, key: &K) -> Option<K> {
        let block = self.blocks.partition_point(|block| block.last().is_some_and(|last| last <= key));
        let keys = self.blocks.get(block)?;
        keys.get(keys.partition_point(|member| member <= key)).copied()
    }

    /// The number of members before this one; None if it is no member.
    pub fn place(&self, key: &K) -> Option<usize> {
        let block = self.block_of(key);
        let within = self.blocks.get(block)?.binary_search(key).ok()?;
        Some(self.blocks[..block].iter().map(Vec::len).sum::<usize>() + within)
    }

    /// Adds a key; false if it was there.
    pub fn insert(&mut self, key: K) -> bool {
        if self.blocks.is_empty() {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let block = self.block_of(&key).min(self.blocks.len() - 1);
        let keys = &mut self.blocks[block];
        let Err(at) = keys.binary_search(&key) else { return false };
        keys.insert(at, key);
        if keys.len() >= BLOCK {
            let upper = keys.split_off(BLOCK / 2);
            self.blocks.insert(block + 1, upper);
        }
        self.len += 1;
        true
    }

    /// Removes a key; false if it was not there.
    pub fn remove(&mut self, key: &K) -> bool {
        let block = self.block_of(key);
        let Some(keys) = self.blocks.get_mut(block) else { return false };
        let Ok(at) = keys.binary_search(key) else { return false };
        keys.remove(at);
        if keys.is_empty() {
            self.blocks.remove(block);
        }
        self.len -= 1;
        true
    }

    /// All members, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = K> {
        self.blocks.iter().flatten().copied()
    }

    /// The block in which the key is or would be; past the end for a key above all.
    fn block_of(&self, key: &K) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|last| last < key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_set(steps in proptest::collection::vec((any::<bool>(), 0..2_000u32), 0..3_000)) {
            let (mut ours, mut plain) = (Ranked::default(), BTreeSet::new());
            prop_assert!(ours.is_empty());
            for (add, key) in steps {
                if add {
                    prop_assert_eq!(ours.insert(key), plain.insert(key));
                } else {
                    prop_assert_eq!(ours.remove(&key), plain.remove(&key));
                }
                prop_assert_eq!(ours.after(&key), plain.range(key + 1..).next().copied());
                prop_assert_eq!(ours.first(), plain.first().copied());
                prop_assert_eq!((ours.len(), ours.is_empty()), (plain.len(), plain.is_empty()));
            }
            prop_assert!(ours.iter().eq(plain.iter().copied()));
            for (place, key) in plain.iter().enumerate() {
                prop_assert_eq!(ours.place(key), Some(place));
            }
        }
    }
}
