//! Run-time detection and dispatch of SIMD instruction sets.
//!
//! Kernels are plain loops, inlined into a function that is compiled once per instruction set with `#[target_feature]`.

/// Work that is compiled once per [`Level`]. `run` and every function in its hot loop must be `#[inline(always)]`.
pub trait Kernel {
    /// The result.
    type Output;
    /// Runs the kernel. `FMA`: fused multiply-add is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// The inner loops of a matrix product, for tiles of MR rows and NR columns of the result.
pub trait Tile {
    /// As [`Kernel::run`].
    fn run<const FMA: bool, const MR: usize, const NR: usize>(self);
}

/// A SIMD instruction set that this processor is known to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level(Set);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Set {
    /// The baseline without fused multiply-add, whether it has one or not.
    Portable,
    /// The compilation target's own: SSE2, NEON, simd128 or none.
    Baseline,
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx2,
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx512,
}

/// Whether the baseline has fused multiply-add; every 64-bit Arm has it.
const BASELINE_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Level {
    /// The widest set that this processor has.
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma");
            if avx2 && has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
                return Self(Set::Avx512);
            }
            if avx2 {
                return Self(Set::Avx2);
            }
        }
        Self::baseline()
    }

    /// All sets that this processor has, narrowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let sets = [
            Set::Portable,
            Set::Baseline,
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx2,
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx512,
        ];
        let widest = Self::detect().0 as usize;
        sets.into_iter().filter(move |&set| set as usize <= widest).map(Self)
    }

    /// The set that every processor of this target has.
    pub const fn baseline() -> Self {
        Self(Set::Baseline)
    }

    /// The set whose results are the same bits on every machine, in a browser and on a microcontroller: products are rounded before
    /// they are added up.
    pub const fn portable() -> Self {
        Self(Set::Portable)
    }

    /// A display name, such as `AVX2+FMA`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Baseline if cfg!(target_arch = "aarch64") => "NEON",
            Set::Baseline if cfg!(target_arch = "x86_64") => "SSE2",
            Set::Baseline if cfg!(target_feature = "simd128") => "simd128",
            Set::Baseline => "scalar",
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx2 => "AVX2+FMA",
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx512 => "AVX-512",
        }
    }

    /// Whether the processor has AVX2.
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    pub(crate) fn has_avx2(self) -> bool {
        matches!(self.0, Set::Avx2 | Set::Avx512)
    }

    /// Whether the processor has AVX-512 and its dot products of integers.
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    pub(crate) fn has_vnni(self) -> bool {
        self.0 == Set::Avx512 && std::arch::is_x86_feature_detected!("avx512vnni")
    }

    /// Runs a kernel, compiled for this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable | Set::Baseline => self.run_baseline(kernel),
            // SAFETY: `detect` returns this value only if the processor has the instructions.
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx2 => unsafe { avx2(kernel) },
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx512 => unsafe { avx512(kernel) },
        }
    }

    /// Runs a kernel compiled for the baseline.
    #[inline]
    pub(crate) fn run_baseline<K: Kernel>(self, kernel: K) -> K::Output {
        // Without fused multiply-add both are the same, and one copy of each kernel is enough.
        if BASELINE_FMA && self.0 == Set::Portable { kernel.run::<false>() } else { kernel.run::<BASELINE_FMA>() }
    }

    /// Rows and columns of the [`Tile`] of f32 that [`tile`](Self::tile) computes.
    pub(crate) const fn tile_extents(self) -> [usize; 2] {
        match self.0 {
            Set::Portable | Set::Baseline => [4, 8],
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx2 => [6, 16],
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx512 => [12, 32],
        }
    }

    /// Runs an f32 matrix product with the largest tile that fits the registers together with a row of the right factor.
    #[inline]
    pub(crate) fn tile<K: Tile>(self, kernel: K) {
        match self.0 {
            Set::Portable if BASELINE_FMA => kernel.run::<false, 4, 8>(),
            Set::Portable | Set::Baseline => kernel.run::<BASELINE_FMA, 4, 8>(),
            // SAFETY: `detect` returns this value only if the processor has the instructions.
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx2 => unsafe { avx2(Tiled::<K, 6, 16>(kernel)) },
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Set::Avx512 => unsafe { avx512(Tiled::<K, 12, 32>(kernel)) },
        }
    }

    /// As [`tile`](Self::tile) for f64, compiled for the baseline.
    #[inline]
    pub(crate) fn tile_baseline<K: Tile>(self, kernel: K) {
        if BASELINE_FMA && self.0 == Set::Portable { kernel.run::<false, 4, 4>() } else { kernel.run::<BASELINE_FMA, 4, 4>() }
    }
}

/// Runs a part of a kernel that is compiled once, not inlined into each caller.
#[inline(always)]
pub(crate) fn nested<const FMA: bool, K: Kernel>(kernel: K) -> K::Output {
    if FMA && !BASELINE_FMA { Level::detect().run(kernel) } else { baseline::<FMA, K>(kernel) }
}

#[inline(never)]
fn baseline<const FMA: bool, K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<FMA>()
}

/// A kernel from a closure that needs no fused multiply-add.
pub(crate) struct Closure<G>(pub(crate) G);

impl<R, G: FnOnce() -> R> Kernel for Closure<G> {
    type Output = R;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> R {
        (self.0)()
    }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
struct Tiled<K, const MR: usize, const NR: usize>(K);

#[cfg(all(target_arch = "x86_64", feature = "std"))]
impl<K: Tile, const MR: usize, const NR: usize> Kernel for Tiled<K, MR, NR> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.0.run::<FMA, MR, NR>();
    }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline(never)]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}
