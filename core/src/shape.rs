//! Extents of tensors.

/// Up to three extents, outermost first, row-major.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    extents: [usize; 3],
    rank: usize,
}

impl Shape {
    /// `[n]`
    pub const fn vector(n: usize) -> Self {
        Self { extents: [1, 1, n], rank: 1 }
    }

    /// `[rows, columns]`; a weight is `[out, in]`.
    pub const fn matrix(rows: usize, columns: usize) -> Self {
        Self { extents: [1, rows, columns], rank: 2 }
    }

    /// `[outer, rows, columns]`; activations are `[batch, time, width]`.
    pub const fn cube(outer: usize, rows: usize, columns: usize) -> Self {
        Self { extents: [outer, rows, columns], rank: 3 }
    }

    /// The three extents, with 1 in place of those that the rank lacks.
    pub const fn extents(self) -> [usize; 3] {
        self.extents
    }

    /// The extents that there are, as a file format wants them.
    pub fn dims(&self) -> &[usize] {
        &self.extents[3 - self.rank..]
    }

    /// A shape from one to three extents.
    pub fn from_dims(dims: &[usize]) -> Option<Self> {
        match *dims {
            [n] => Some(Self::vector(n)),
            [r, c] => Some(Self::matrix(r, c)),
            [o, r, c] => Some(Self::cube(o, r, c)),
            _ => None,
        }
    }

    /// How many extents there are: 1, 2 or 3.
    pub const fn rank(self) -> usize {
        self.rank
    }

    /// Number of elements; `usize::MAX`, which no machine has room for, where it is beyond that.
    pub const fn count(self) -> usize {
        self.extents[0].saturating_mul(self.extents[1]).saturating_mul(self.extents[2])
    }

    /// Rows when everything but the last extent is folded into one.
    pub const fn rows(self) -> usize {
        self.extents[0] * self.extents[1]
    }

    /// The last extent.
    pub const fn width(self) -> usize {
        self.extents[2]
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

/// Something with a [`Shape`].
pub trait Shaped {
    /// Its extents.
    fn shape(&self) -> Shape;
}
