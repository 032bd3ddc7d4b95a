//! A blocked matrix product after Goto and van de Geijn (2008), as in BLIS: both factors are packed into panels, and a
//! micro-kernel accumulates small tiles of the result in registers.

use super::{
    factor::Matrix,
    pack::{Side, pack},
    tile::{self, Left},
    write::Write,
};
use crate::{
    Cpu, Real,
    scratch::scratch,
    simd::Level,
    threads::{Shared, Threads},
};

/// Largest depth of a block (`k_c`): a tile's rows of the left factor fit the L1 cache, and the result is updated rarely.
const DEPTH: usize = 512;
/// Largest number of rows of a task.
const TASK_ROWS: usize = 96;
/// Below this number of tasks, tasks get fewer rows.
const TASKS: usize = 16;
/// Columns of a task: its block of the right factor fits the L2 cache.
const TASK_COLUMNS: usize = 256;
/// Columns that one task packs.
const PACK_COLUMNS: usize = 64;
/// Elements of a packed block of the right factor: it fits the last-level cache for any vocabulary.
const RIGHT: usize = 1 << 20;

/// Which elements of a product are computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All.
    Whole,
    /// At least those on and below the diagonal of a square; of the others some.
    Lower,
}

/// How a product is divided into blocks, by its shape and the extents of a tile alone.
struct Plan {
    depths: usize,
    /// Depth, rows and columns of a block, and columns that are packed at a time.
    kc: usize,
    mc: usize,
    nc: usize,
    /// Columns of a task that multiplies, and of one that packs.
    tc: usize,
    pc: usize,
    /// Elements of the packed left factor; 0 where its rows are read as they are.
    left: usize,
    extent: Extent,
}

/// What a product runs on.
struct Machine<'a, F> {
    threads: &'a Threads,
    level: Level,
    /// As many elements as the plan [needs](Plan::scratch).
    memory: &'a mut [F],
}

impl Plan {
    fn new<F: Real>(level: Level, a: &Matrix<F>, n: usize, extent: Extent) -> Self {
        let [m, depth] = a.extents;
        let [mr, nr] = F::tile_extents(level);
        let depths = depth.div_ceil(DEPTH).max(1);
        let kc = depth.div_ceil(depths);
        let (tc, pc) = (TASK_COLUMNS.next_multiple_of(nr), PACK_COLUMNS.next_multiple_of(nr));
        let few = m.div_ceil(TASK_ROWS) * n.div_ceil(tc) < TASKS;
        let mc = if few { m.div_ceil(TASKS).clamp(1, TASK_ROWS) } else { TASK_ROWS }.next_multiple_of(mr);
        let nc = n.next_multiple_of(nr).min((RIGHT / kc.max(1)).next_multiple_of(tc));
        // Rows that are contiguous along the depth are read without packing.
        let left = if a.strides[1] != 1 { m.next_multiple_of(mr) * kc } else { 0 };
        Self { depths, kc, mc, nc, tc, pc, left, extent }
    }

    fn scratch(&self) -> usize {
        self.left + self.nc * self.kc
    }
}

/// `c = a · b`, written as `write` specifies; `c` is row-major.
pub(crate) fn gemm<F: Real>(cpu: &mut Cpu<F>, a: Matrix<F>, b: Matrix<F>, write: Write<F>, c: &mut [F]) {
    let plan = Plan::new(cpu.level, &a, b.extents[1], Extent::Whole);
    let memory = scratch(&mut cpu.scratch, plan.scratch());
    run(Machine { threads: &cpu.threads, level: cpu.level, memory }, &plan, a, b, write, c);
}

/// Elements of memory that [`serial`] needs for a product of these extents `[rows, depth, columns]`.
pub(crate) fn serial_scratch<F: Real>(level: Level, [m, depth, n]: [usize; 3]) -> usize {
    Plan::new::<F>(level, &Matrix { data: &[], extents: [m, depth], strides: [depth, 1] }, n, Extent::Whole).scratch()
}

/// `c = a · b` on the current thread, for one of several products that run at the same time; rows of `a` are contiguous.
pub(crate) fn serial<F: Real>(level: Level, memory: &mut [F], extent: Extent, a: Matrix<F>, b: Matrix<F>, c: &mut [F]) {
    assert_eq!(a.strides[1], 1, "rows of the left factor");
    let plan = Plan::new(level, &a, b.extents[1], extent);
    run(Machine { threads: &Threads::one(), level, memory }, &plan, a, b, Write::Set { bias: None, add: None }, c);
}

fn run<F: Real>(machine: Machine<'_, F>, plan: &Plan, a: Matrix<F>, b: Matrix<F>, write: Write<F>, c: &mut [F]) {
    let Machine { threads, level, memory } = machine;
    let ([m, depth], [same, n]) = (a.extents, b.extents);
    assert!(depth == same && c.len() == m * n, "product of {:?} and {:?} into {}", a.extents, b.extents, c.len());
    let &Plan { depths, kc, mc, nc, tc, pc, left, extent } = plan;
    let [mr, nr] = F::tile_extents(level);
    let packed = a.strides[1] != 1;
    let (left, right) = memory.split_at_mut(left);
    let c = Shared::new(c);

    for step in 0..depths {
        let ks = step * kc..depth.min((step + 1) * kc);
        let kc = ks.len();
        for first in (0..n).step_by(nc.max(1)) {
            let columns = nc.min(n - first);
            // The left factor is packed once per depth, together with the first columns.
            let left_tasks = if packed && first == 0 { m.div_ceil(mc) } else { 0 };
            let (pack_left, pack_right) = (Shared::new(left), Shared::new(right));
            threads.each(left_tasks + columns.div_ceil(pc), |task| {
                if task < left_tasks {
                    let rows = task * mc..m.min((task + 1) * mc);
                    // SAFETY: each run of panels belongs to one task.
                    let to = unsafe { pack_left.slice(rows.start * kc, rows.len().next_multiple_of(mr) * kc) };
                    pack(level, Side::Left, a, rows, ks.clone(), to);
                } else {
                    let start = (task - left_tasks) * pc;
                    let run = start..columns.min(start + pc);
                    // SAFETY: as above.
                    let to = unsafe { pack_right.slice(start * kc, run.len().next_multiple_of(nr) * kc) };
                    pack(level, Side::Right, b.transposed(), first + run.start..first + run.end, ks.clone(), to);
                }
            });
            let (left, right) = (&*left, &*right);
            let write = if step == 0 { write } else { Write::Add };
            let across = columns.div_ceil(tc);
            threads.each(m.div_ceil(mc) * across, |task| {
                let (i, j) = (task / across * mc, task % across * tc);
                let rows = i..m.min(i + mc);
                let last = first + columns.min(j + tc);
                let columns = first + j..if extent == Extent::Lower { last.min(rows.end) } else { last };
                if columns.is_empty() {
                    return;
                }
                let block = tile::Block { rows, columns, depth: kc, stride: n };
                let left =
                    if packed { Left::Panels(&left[i * kc..]) } else { Left::Rows { data: &a.data[ks.start..], stride: a.strides[0] } };
                tile::block(level, left, &right[j * kc..], write, block, &c);
            });
        }
    }
}
