//! Ring buffers of the newest N positions, and their masks. The clock stays on the device.

use crate::{Indices, Tch, heads::AttnMask, value::Value};
use hh_core::ops::MemoryDims;

/// The ring before a chunk.
pub(crate) struct Past<'a> {
    /// Number of positions before the chunk.
    pub(crate) clock: &'a Indices,
    /// Rows of the ring, `N`.
    pub(crate) rows: usize,
}

/// The mask of the queries of a chunk over slots, the ring's rows and the chunk's own items; items before index `oldest` are
/// hidden. A query without a visible item sees its own item, and the caller must discard its result.
pub(crate) fn mask(b: &Tch, dims: &MemoryDims, past: Option<&Past>, oldest: usize) -> AttnMask {
    let all = dims.window >= dims.time;
    if past.is_none() && all && oldest == 0 && dims.slots == 0 {
        return AttnMask::Causal;
    }
    let chunk = b.count(dims.time);
    let (queries, items) = match past {
        None => (chunk.clone(), chunk),
        Some(past) => {
            let clock = past.clock.vector();
            let queries = chunk.plus(&clock);
            // Row r holds the newest position before the clock that is r modulo N; negative if the row is empty.
            let newest = clock.map(|clock| clock.f_add_scalar(-1));
            let ring = newest.minus(&newest.minus(&b.count(past.rows)).map(|x| x.f_remainder(past.rows as i64)));
            (queries.clone(), Value::cat(&[&ring, &queries], 0))
        }
    };
    let age = queries.unsqueezed(1).minus(&items.unsqueezed(0));
    let both = |a: &Value, b: &Value| a.with(b, tch::Tensor::f_logical_and);
    let mut seen = age.map(|age| age.f_ge(0));
    if !all || past.is_some() {
        let window = i64::try_from(dims.window).unwrap_or(i64::MAX);
        seen = both(&seen, &age.map(|age| age.f_lt(window)));
    }
    if oldest > 0 || past.is_some() {
        seen = both(&seen, &items.map(|items| items.f_ge(oldest as i64)));
    }
    if dims.slots > 0 {
        let slots = seen.map(|seen| seen.f_new_ones([dims.time as i64, dims.slots as i64], (tch::Kind::Bool, b.device)));
        return AttnMask::Mask(Value::cat(&[&slots, &seen], 1));
    }
    if oldest > 0 {
        seen = seen.with(&age.map(|age| age.f_eq(0)), tch::Tensor::f_logical_or);
    }
    AttnMask::Mask(seen)
}

/// Whether the item of a position exists, `[T, 1]`, if items begin at index 1: false for position 0.
pub(crate) fn has_item(b: &Tch, dims: &MemoryDims, past: Option<&Past>) -> Value {
    let chunk = b.count(dims.time);
    let positions = past.map_or(chunk.clone(), |past| chunk.plus(&past.clock.vector()));
    positions.unsqueezed(1).map(|p| p.f_ge(1)).to(b.full)
}

/// Writes a chunk's items `[B, T, …]` to the ring.
pub(crate) fn update_ring(b: &mut Tch, dims: &MemoryDims, past: &Past, items: &Value, ring: &Value) {
    let count = dims.time.min(past.rows);
    let (from, rows) = ((dims.time - count) as i64, past.rows as i64);
    let at = b.count(count).plus(&past.clock.vector()).map(|x| x.f_add_scalar(from)?.f_remainder(rows));
    let done = Value::all(&[ring, &at, &items.part(1, dims.time - count, count)], |t| {
        t[0].shallow_clone().f_index_copy_(1, t[1], &t[2].f_to_kind(t[0].kind())?)
    });
    b.settle(done);
}
