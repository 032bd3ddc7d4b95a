use super::words::{MEN, Person, WOMEN};
use hh_core::rng;

/// Random draws of one piece: a function of seed and piece only, the same on every machine.
pub(super) struct Draws {
    key: [u32; 4],
    next: u32,
}

impl Draws {
    pub(super) fn new(seed: u64, piece: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32, piece as u32, (piece >> 32) as u32], next: 0 }
    }

    /// A uniform integer in `0..n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let [word, ..] = rng::block(self.key, 0, self.next);
        self.next += 1;
        ((u64::from(word) * n as u64) >> 32) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A random element other than `not`.
    pub(super) fn other<T: Copy + PartialEq>(&mut self, from: &[T], not: T) -> T {
        loop {
            let picked = self.pick(from);
            if picked != not {
                return picked;
            }
        }
    }

    pub(super) fn shuffled<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> [T; N] {
        let mut all = *from;
        for i in (1..N).rev() {
            all.swap(i, self.below(i + 1));
        }
        all
    }

    /// Distinct people.
    pub(super) fn cast<const N: usize>(&mut self) -> [Person; N] {
        let mut cast: [Person; N] = std::array::from_fn(|_| self.person());
        for i in 1..N {
            while cast[..i].contains(&cast[i]) {
                cast[i] = self.person();
            }
        }
        cast
    }

    fn person(&mut self) -> Person {
        match self.below(2) {
            0 => Person { name: self.pick(&WOMEN), she: true },
            _ => Person { name: self.pick(&MEN), she: false },
        }
    }
}
