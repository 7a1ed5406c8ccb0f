//! Slots with generations: a key of something gone never finds what took its place.
//!
//! Memory comes in blocks, so growing moves nothing.

const BLOCK: usize = 256;

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values by a key that is never given out twice (until a slot was used 2³² times).
pub struct Arena<T> {
    blocks: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Arena<T> {
    /// An empty arena.
    pub fn new() -> Self {
        Arena { blocks: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts a value in and gives its key, which is never 0.
    pub fn insert(&mut self, value: T) -> u64 {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.blocks[index as usize / BLOCK][index as usize % BLOCK];
            slot.value = Some(value);
            return key(slot.generation, index);
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let before = (self.blocks.len() - 1) * BLOCK;
        let block = self.blocks.last_mut().expect("a block was added where none had room");
        block.push(Slot { generation: 1, value: Some(value) });
        key(1, (before + block.len() - 1) as u32)
    }

    /// The value of `key`, where it is still there.
    pub fn get(&self, key: u64) -> Option<&T> {
        let (generation, index) = split(key);
        let slot = self.blocks.get(index / BLOCK)?.get(index % BLOCK)?;
        slot.value.as_ref().filter(|_| slot.generation == generation)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (generation, index) = split(key);
        let slot = self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)?;
        slot.value.as_mut().filter(|_| slot.generation == generation)
    }

    /// Takes the value of `key` out.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        let (generation, index) = split(key);
        let slot = self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        self.free.push(index as u32);
        self.len -= 1;
        Some(value)
    }
}

fn key(generation: u32, index: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

fn split(key: u64) -> (u32, usize) {
    ((key >> 32) as u32, key as u32 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing() {
        let mut arena = Arena::new();
        let a = arena.insert("a");
        assert_eq!(arena.remove(a), Some("a"));
        let b = arena.insert("b");
        assert_ne!(a, b);
        assert_eq!(arena.get(a), None);
        assert_eq!(arena.get_mut(a), None);
        assert_eq!(arena.remove(a), None);
        assert_eq!(arena.get(b), Some(&"b"));
        assert_eq!(arena.get(u64::MAX), None);
    }

    #[test]
    fn blocks_grow_and_room_is_used_again() {
        let mut arena = Arena::new();
        let keys: Vec<u64> = (0..1000).map(|n| arena.insert(n)).collect();
        assert!(keys.iter().zip(0..).all(|(key, n)| arena.get(*key) == Some(&n)));
        arena.remove(keys[7]);
        assert_eq!(arena.len(), 999);
        assert_eq!(arena.insert(1) as u32, keys[7] as u32);
    }
}
