// Lookup in a memory of items, each a pattern and a value, by a tile of queries, and its gradients.
//
// A softmax memory weights the visible items by softmax(query · pattern); a Hebbian one by γ^age (query · pattern). Scores stay
// in registers (FlashAttention-2, Dao 2023): the backward pass recomputes them from the saved logarithm of the softmax's
// denominator, in one pass over rows for the gradients of queries and one over columns for the gradients of items, so that no
// two blocks add to the same element.
#pragma once
#include "pipeline.cuh"
#include "mask.cuh"

// The items of one head.
struct Items {
    Tensor of;
    // Row of the first item, and the number of items.
    size_t row;
    int count;
    // First columns of patterns and values.
    int pattern, value;
    int head_dim;
};

// A packed tensor with the items of all heads: `rows` per sequence, the heads' patterns and values from two columns on.
struct Memory {
    Tensor of;
    int rows;
    int pattern, value;
};

DEVICE Items items_of(const Memory& m, int sequence, int head, int head_dim) {
    return {m.of, static_cast<size_t>(sequence) * m.rows, m.rows, m.pattern + head * head_dim, m.value + head * head_dim, head_dim};
}

// γ^age, the weight of a Hebbian item.
DEVICE float decay_power(float log2_decay, int age) { return power_of_two(log2_decay * age); }

// Calls use(column, patterns, values) for each tile of items visible to some query of the block, whose queries begin at `first`.
template <class Use>
DEVICE void each_item_tile(const Mask& mask, int first, int queries, const Items& items, REAL* tiles, Use use) {
    const int last = min(first + ROWS, queries) - 1, oldest = mask.from(first) / COLUMNS * COLUMNS;
    const int end = min(items.count, max(mask.slots, mask.to(last)));
    // Tiles between the slots and the oldest visible item are skipped.
    const auto next = [&](int column) { return column + COLUMNS < mask.slots ? column + COLUMNS : max(column + COLUMNS, oldest); };
    const auto begin = [&](Copies& copies, int column, int stage) {
        REAL* to = tiles + stage * 2 * COLUMNS * PITCH;
        const int count = items.count - column;
        copy_async(copies, items.of, items.row + column, count, items.pattern, items.head_dim, to);
        copy_async(copies, items.of, items.row + column, count, items.value, items.head_dim, to + COLUMNS * PITCH);
    };
    each_tile(mask.slots ? 0 : oldest, end, next, begin, [&](int column, int stage) {
        const REAL* patterns = tiles + stage * 2 * COLUMNS * PITCH;
        use(column, patterns, patterns + COLUMNS * PITCH);
    });
}

// Multiplies this lane's two rows by their factors.
DEVICE void scale_rows(float (&x)[FRAGMENTS][4], const float (&factor)[2]) {
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) x[n][i] *= factor[half_of(i)];
}

// read = weights · values and, if `move`, moved = weights · patterns, for the block's queries from `first` on; `log_sum` is the
// logarithm of a softmax's denominator. Without a visible item, read and log_sum are 0. `tiles`: two per stage, of COLUMNS rows.
template <Kind KIND>
DEVICE void look_up(const Mask& mask, int first, int queries, const Items& items, const REAL* query, bool move, float log2_decay, REAL* tiles,
                    float (&read)[FRAGMENTS][4], float (&moved)[FRAGMENTS][4], float (&log_sum)[2]) {
    const int mine = first + warp() * 16;
    const RowMask visible = RowMask::of(mask, mine, queries);
    float top[2] = {LOWEST, LOWEST}, sum[2] = {};
    clear(read);
    clear(moved);
    each_item_tile(mask, first, queries, items, tiles, [&](int column, const REAL* patterns, const REAL* values) {
        float s[SCORES][4];
        clear(s);
        scores(query + warp() * 16 * PITCH, patterns, s);
        if (KIND == SOFTMAX) {
            if (!visible.all_visible(column)) apply_mask(visible, column, s);
            float found[2] = {top[0], top[1]}, rescale[2];
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) found[half_of(i)] = fmaxf(found[half_of(i)], s[n][i]);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                found[half] = quad_max(found[half]);
                rescale[half] = exponential(top[half] - found[half]);
                sum[half] *= rescale[half];
            }
            // The row maximum rarely changes after the first tiles.
            if (__ballot_sync(ALL_LANES, found[0] > top[0] || found[1] > top[1])) {
                scale_rows(read, rescale);
                if (move) scale_rows(moved, rescale);
            }
            top[0] = found[0], top[1] = found[1];
            const float peak[2] = {top[0] * LOG2_E, top[1] * LOG2_E};
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    s[n][i] = power_of_two(fmaf(s[n][i], LOG2_E, -peak[half_of(i)]));
                    sum[half_of(i)] += s[n][i];
                }
        } else {
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int c = column + column_of(n, i);
                    const float kept = decay_power(log2_decay, mask.age(mine + group() + 8 * half_of(i), c));
                    s[n][i] = visible(half_of(i), c) ? s[n][i] * kept : 0.0f;
                }
        }
        weigh(s, values, read);
        if (move) weigh(s, patterns, moved);
    });
    if (KIND == HEBBIAN) return;
    float share[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float all = quad_sum(sum[half]);
        share[half] = all > 0.0f ? 1.0f / all : 0.0f;
        log_sum[half] = all > 0.0f ? top[half] + logf(all) : 0.0f;
    }
    scale_rows(read, share);
    scale_rows(moved, share);
}

// Inputs of the backward pass for a tile of queries.
struct OutGrad {
    // Tiles of ROWS: the queries, the gradient of `read`, and the gradient of `moved` (null in the last refinement).
    const REAL *query, *d_read, *d_moved;
    // For this lane's rows; delta = d_read · read + d_moved · moved. Unused by a Hebbian memory.
    float log_sum[2], delta[2];
};

// Gradients of scalars from a pass over rows: Σ weight (d_moved · pattern), and Σ age · weight · slope.
struct ScalarGrads {
    float moved, age;

    __device__ __forceinline__ void operator+=(const ScalarGrads& other) { moved += other.moved, age += other.age; }
};

// d_query = the gradient of the queries. `tiles`: two per stage, of COLUMNS rows.
template <Kind KIND>
DEVICE ScalarGrads look_up_rows_grad(const Mask& mask, int first, int queries, const Items& items, const OutGrad& out_grad, float log2_decay, REAL* tiles,
                               float (&d_query)[FRAGMENTS][4]) {
    const int mine = first + warp() * 16, own = warp() * 16 * PITCH;
    const RowMask visible = RowMask::of(mask, mine, queries);
    const float log2_sum[2] = {out_grad.log_sum[0] * LOG2_E, out_grad.log_sum[1] * LOG2_E};
    ScalarGrads scalars = {};
    clear(d_query);
    each_item_tile(mask, first, queries, items, tiles, [&](int column, const REAL* patterns, const REAL* values) {
        float s[SCORES][4], slope[SCORES][4], along[SCORES][4];
        clear(s);
        clear(slope);
        clear(along);
        scores(out_grad.query + own, patterns, s);
        scores(out_grad.d_read + own, values, slope);
        if (out_grad.d_moved) scores(out_grad.d_moved + own, patterns, along);
        if (KIND == SOFTMAX && !visible.all_visible(column)) apply_mask(visible, column, s);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int half = half_of(i), c = column + column_of(n, i);
                if (KIND == SOFTMAX) {
                    slope[n][i] = power_of_two(fmaf(s[n][i], LOG2_E, -log2_sum[half])) * (slope[n][i] + along[n][i] - out_grad.delta[half]);
                } else {
                    const int age = mask.age(mine + group() + 8 * half, c);
                    const float kept = visible(half, c) ? decay_power(log2_decay, age) : 0.0f;
                    scalars.moved += kept * s[n][i] * along[n][i];
                    slope[n][i] = kept * (slope[n][i] + along[n][i]);
                    scalars.age += age * s[n][i] * slope[n][i];
                }
            }
        weigh(slope, patterns, d_query);
    });
    return scalars;
}

// The queries and gradients of one head and refinement, read by the pass over columns.
struct Queries {
    Tensor scaled, d_read, d_moved;
    // A factor not yet applied to `scaled`.
    float factor;
    size_t row;
    // First columns of the scaled queries and of both gradients.
    int column, d_column;
    // At the first query, with the strides to the next one.
    const float *log_sum, *delta;
    int log_sum_stride, delta_stride;
};

// d_pattern and d_value += the gradients of the block's ROWS items from `first` on, from all queries. `patterns`, `values`: the
// block's items; `tiles`: two per stage, of COLUMNS rows, or three with `d_moved`; `numbers`: two of COLUMNS per stage.
template <Kind KIND>
DEVICE void look_up_columns_grad(const Mask& mask, int first, int queries, int head_dim, const Queries& of, bool move, float log2_decay,
                                 const REAL* patterns, const REAL* values, REAL* tiles, float* numbers, float (&d_pattern)[FRAGMENTS][4],
                                 float (&d_value)[FRAGMENTS][4]) {
    const int mine = first + warp() * 16, own = warp() * 16 * PITCH;
    const ColumnMask visible = ColumnMask::of(mask, mine, queries);
    const float to_log2 = of.factor * LOG2_E;
    const int each = (present(of.d_moved) ? 3 : 2) * COLUMNS * PITCH;
    // The block's items are visible neither to queries before its first item nor to those whose window is past its last one.
    const int begin = ColumnMask::begin(mask, first);
    int end = first < mask.slots ? queries : static_cast<int>(min(static_cast<long long>(queries), first + ROWS - 1ll - mask.slots - mask.lead + mask.window));
    if (KIND == HEBBIAN) end = min(end, first + ROWS);
    const auto next = [](int query) { return query + COLUMNS; };
    const auto begin_tile = [&](Copies& copies, int query, int stage) {
        REAL* to = tiles + stage * each;
        const int count = queries - query;
        copy_async(copies, of.scaled, of.row + query, count, of.column, head_dim, to);
        copy_async(copies, of.d_read, of.row + query, count, of.d_column, head_dim, to + COLUMNS * PITCH);
        if (move) copy_async(copies, of.d_moved, of.row + query, count, of.d_column, head_dim, to + 2 * COLUMNS * PITCH);
        if (KIND == SOFTMAX && threadIdx.x < COLUMNS) {
            float* to = numbers + stage * 2 * COLUMNS + threadIdx.x;
            const bool valid = static_cast<int>(threadIdx.x) < count;
            to[0] = valid ? LOG2_E * of.log_sum[static_cast<size_t>(query + threadIdx.x) * of.log_sum_stride] : 0.0f;
            to[COLUMNS] = valid ? of.delta[static_cast<size_t>(query + threadIdx.x) * of.delta_stride] : 0.0f;
        }
    };
    each_tile(max(0, begin) / COLUMNS * COLUMNS, end, next, begin_tile, [&](int query, int stage) {
        const REAL *scaled = tiles + stage * each, *d_read = scaled + COLUMNS * PITCH, *d_moved = d_read + COLUMNS * PITCH;
        const float *log2_sum = numbers + stage * 2 * COLUMNS, *delta = log2_sum + COLUMNS;
        float s[SCORES][4], slope[SCORES][4];
        clear(s);
        clear(slope);
        scores(patterns + own, scaled, s);
        scores(values + own, d_read, slope);
        if (move) scores(patterns + own, d_moved, slope);
        if (KIND == SOFTMAX && !visible.all_visible(query)) apply_mask(visible, query, s);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int half = half_of(i), q = query + column_of(n, i);
                if (KIND == SOFTMAX) {
                    s[n][i] = power_of_two(fmaf(s[n][i], to_log2, -log2_sum[column_of(n, i)]));
                    slope[n][i] = of.factor * s[n][i] * (slope[n][i] - delta[column_of(n, i)]);
                } else {
                    const float kept = visible(half, q) ? decay_power(log2_decay, mask.age(q, mine + group() + 8 * half)) : 0.0f;
                    slope[n][i] *= kept;
                    s[n][i] *= kept;
                }
            }
        weigh(s, d_read, d_value);
        weigh(slope, scaled, d_pattern);
        if (move) weigh(s, d_moved, d_pattern);
    });
}
