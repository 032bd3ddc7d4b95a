// Looking things up in a memory of items, each a pattern and a value, with a tile of queries, and the gradients of that.
//
// A softmax memory weighs the items a query sees by softmax(query · pattern); a Hebbian one by γ^age (query · pattern). Scores
// never leave the registers (FlashAttention-2, Dao 2023): backward they are made anew from the saved logarithm of the
// softmax's denominator, in one pass over the rows for what flows into the queries and one over the columns for what flows
// into the items. So nothing is added up from two blocks.
#pragma once
#include "pipeline.cuh"
#include "sight.cuh"

// Where a head's items lie.
struct Items {
    Tensor of;
    // Row of the first, and how many there are.
    size_t row;
    int count;
    // First columns.
    int pattern, value;
    int head_dim;
};

// Rows of a packed tensor that hold the items of all heads: `rows` a sequence, heads side by side from two columns on.
struct Memory {
    Tensor of;
    int rows;
    int pattern, value;
};

DEVICE Items items_of(const Memory& m, int sequence, int head, int head_dim) {
    return {m.of, static_cast<size_t>(sequence) * m.rows, m.rows, m.pattern + head * head_dim, m.value + head * head_dim, head_dim};
}

// Weight of a Hebbian item.
DEVICE float forgotten(float log2_decay, int age) { return power_of_two(log2_decay * age); }

// Brings the tiles of items that some query of the block from `first` on sees, first patterns, then values, and uses them.
template <class Use>
DEVICE void each_item_tile(const Sight& sight, int first, int queries, const Items& items, REAL* tiles, Use use) {
    const int last = min(first + ROWS, queries) - 1, oldest = sight.from(first) / COLUMNS * COLUMNS;
    const int end = min(items.count, max(sight.slots, sight.to(last)));
    // What lies between the slots and the oldest item in sight is passed over.
    const auto next = [&](int column) { return column + COLUMNS < sight.slots ? column + COLUMNS : max(column + COLUMNS, oldest); };
    const auto begin = [&](Copies& copies, int column, int stage) {
        REAL* to = tiles + stage * 2 * COLUMNS * PITCH;
        const int count = items.count - column;
        bring(copies, items.of, items.row + column, count, items.pattern, items.head_dim, to);
        bring(copies, items.of, items.row + column, count, items.value, items.head_dim, to + COLUMNS * PITCH);
    };
    each_tile(sight.slots ? 0 : oldest, end, next, begin, [&](int column, int stage) {
        const REAL* patterns = tiles + stage * 2 * COLUMNS * PITCH;
        use(column, patterns, patterns + COLUMNS * PITCH);
    });
}

// This lane's rows times their factors.
DEVICE void scale_rows(float (&x)[BLOCKS][4], const float (&factor)[2]) {
#pragma unroll
    for (int n = 0; n < BLOCKS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) x[n][i] *= factor[half_of(i)];
}

// read = weights · values and, if `move`, moved = weights · patterns, for the block's queries from `first` on; `log_sum` is the
// logarithm of a softmax's denominator, 0 where nothing is seen (which reads zeros). `tiles`: two a stage, of COLUMNS rows.
template <Kind KIND>
DEVICE void look_up(const Sight& sight, int first, int queries, const Items& items, const REAL* query, bool move, float log2_decay, REAL* tiles,
                    float (&read)[BLOCKS][4], float (&moved)[BLOCKS][4], float (&log_sum)[2]) {
    const int mine = first + warp() * 16;
    const Seen seen = Seen::of(sight, mine, queries);
    float top[2] = {FAR_BELOW, FAR_BELOW}, sum[2] = {};
    clear(read);
    clear(moved);
    each_item_tile(sight, first, queries, items, tiles, [&](int column, const REAL* patterns, const REAL* values) {
        float s[SCORES][4];
        clear(s);
        scores(query + warp() * 16 * PITCH, patterns, s);
        if (KIND == SOFTMAX) {
            if (!seen.whole(column)) blind(seen, column, s);
            float found[2] = {top[0], top[1]}, shrink[2];
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) found[half_of(i)] = fmaxf(found[half_of(i)], s[n][i]);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                found[half] = quad_max(found[half]);
                shrink[half] = exponential(top[half] - found[half]);
                sum[half] *= shrink[half];
            }
            // Mostly the largest score has been seen before.
            if (__ballot_sync(ALL_LANES, found[0] > top[0] || found[1] > top[1])) {
                scale_rows(read, shrink);
                if (move) scale_rows(moved, shrink);
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
                    const float kept = forgotten(log2_decay, sight.age(mine + group() + 8 * half_of(i), c));
                    s[n][i] = seen(half_of(i), c) ? s[n][i] * kept : 0.0f;
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

// What flows back into a tile of queries.
struct Flow {
    // Tiles of ROWS: the queries, the gradient of what they read, and that of `moved` (null where nothing moved).
    const REAL *query, *d_read, *d_moved;
    // Of this lane's rows; d_read · read + d_moved · moved. A Hebbian memory has neither.
    float log_sum[2], balance[2];
};

// What a pass over rows finds beside the queries' gradient: Σ weight (d_moved · pattern), and Σ age · weight · slope.
struct Found {
    float moved, age;

    __device__ __forceinline__ void operator+=(const Found& other) { moved += other.moved, age += other.age; }
};

// d_query = the gradient of the queries, written. `tiles`: two a stage, of COLUMNS rows.
template <Kind KIND>
DEVICE Found look_up_rows_grad(const Sight& sight, int first, int queries, const Items& items, const Flow& flow, float log2_decay, REAL* tiles,
                               float (&d_query)[BLOCKS][4]) {
    const int mine = first + warp() * 16, own = warp() * 16 * PITCH;
    const Seen seen = Seen::of(sight, mine, queries);
    const float log2_sum[2] = {flow.log_sum[0] * LOG2_E, flow.log_sum[1] * LOG2_E};
    Found found = {};
    clear(d_query);
    each_item_tile(sight, first, queries, items, tiles, [&](int column, const REAL* patterns, const REAL* values) {
        float s[SCORES][4], slope[SCORES][4], along[SCORES][4];
        clear(s);
        clear(slope);
        clear(along);
        scores(flow.query + own, patterns, s);
        scores(flow.d_read + own, values, slope);
        if (flow.d_moved) scores(flow.d_moved + own, patterns, along);
        if (KIND == SOFTMAX && !seen.whole(column)) blind(seen, column, s);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int half = half_of(i), c = column + column_of(n, i);
                if (KIND == SOFTMAX) {
                    slope[n][i] = power_of_two(fmaf(s[n][i], LOG2_E, -log2_sum[half])) * (slope[n][i] + along[n][i] - flow.balance[half]);
                } else {
                    const int age = sight.age(mine + group() + 8 * half, c);
                    const float kept = seen(half, c) ? forgotten(log2_decay, age) : 0.0f;
                    found.moved += kept * s[n][i] * along[n][i];
                    slope[n][i] = kept * (slope[n][i] + along[n][i]);
                    found.age += age * s[n][i] * slope[n][i];
                }
            }
        weigh(slope, patterns, d_query);
    });
    return found;
}

// Where the rows of a pass over columns lie: those of one head and refinement.
struct Queries {
    Tensor scaled, d_read, d_moved;
    // What is still to be multiplied into `scaled`.
    float factor;
    size_t row;
    // First columns of the scaled queries, and of both gradients.
    int column, d_column;
    // Of the first query, and how far on the next one's lie.
    const float *log_sum, *balance;
    int log_sum_stride, balance_stride;
};

// d_pattern and d_value += what all queries want of the block's ROWS columns from `first` on. `patterns`, `values`: those of the
// block; `tiles`: two a stage, of COLUMNS rows, or three where there is `d_moved`; `numbers`: two of COLUMNS a stage.
template <Kind KIND>
DEVICE void look_up_columns_grad(const Sight& sight, int first, int queries, int head_dim, const Queries& of, bool move, float log2_decay,
                                 const REAL* patterns, const REAL* values, REAL* tiles, float* numbers, float (&d_pattern)[BLOCKS][4],
                                 float (&d_value)[BLOCKS][4]) {
    const int mine = first + warp() * 16, own = warp() * 16 * PITCH;
    const SeenBy seen = SeenBy::of(sight, mine, queries);
    const float to_log2 = of.factor * LOG2_E;
    const int each = (present(of.d_moved) ? 3 : 2) * COLUMNS * PITCH;
    // Queries before the block's first item see none of it, nor do those whose window has gone past its last one.
    const int begin = SeenBy::begin(sight, first);
    int end = first < sight.slots ? queries : static_cast<int>(min(static_cast<long long>(queries), first + ROWS - 1ll - sight.slots - sight.lead + sight.window));
    if (KIND == HEBBIAN) end = min(end, first + ROWS);
    const auto next = [](int query) { return query + COLUMNS; };
    const auto begin_tile = [&](Copies& copies, int query, int stage) {
        REAL* to = tiles + stage * each;
        const int count = queries - query;
        bring(copies, of.scaled, of.row + query, count, of.column, head_dim, to);
        bring(copies, of.d_read, of.row + query, count, of.d_column, head_dim, to + COLUMNS * PITCH);
        if (move) bring(copies, of.d_moved, of.row + query, count, of.d_column, head_dim, to + 2 * COLUMNS * PITCH);
        if (KIND == SOFTMAX && threadIdx.x < COLUMNS) {
            float* to = numbers + stage * 2 * COLUMNS + threadIdx.x;
            const bool there = static_cast<int>(threadIdx.x) < count;
            to[0] = there ? LOG2_E * of.log_sum[static_cast<size_t>(query + threadIdx.x) * of.log_sum_stride] : 0.0f;
            to[COLUMNS] = there ? of.balance[static_cast<size_t>(query + threadIdx.x) * of.balance_stride] : 0.0f;
        }
    };
    each_tile(max(0, begin) / COLUMNS * COLUMNS, end, next, begin_tile, [&](int query, int stage) {
        const REAL *scaled = tiles + stage * each, *d_read = scaled + COLUMNS * PITCH, *d_moved = d_read + COLUMNS * PITCH;
        const float *log2_sum = numbers + stage * 2 * COLUMNS, *balance = log2_sum + COLUMNS;
        float s[SCORES][4], slope[SCORES][4];
        clear(s);
        clear(slope);
        scores(patterns + own, scaled, s);
        scores(values + own, d_read, slope);
        if (move) scores(patterns + own, d_moved, slope);
        if (KIND == SOFTMAX && !seen.whole(query)) blind(seen, query, s);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int half = half_of(i), q = query + column_of(n, i);
                if (KIND == SOFTMAX) {
                    s[n][i] = power_of_two(fmaf(s[n][i], to_log2, -log2_sum[column_of(n, i)]));
                    slope[n][i] = of.factor * s[n][i] * (slope[n][i] - balance[column_of(n, i)]);
                } else {
                    const float kept = seen(half, q) ? forgotten(log2_decay, sight.age(q, mine + group() + 8 * half)) : 0.0f;
                    slope[n][i] *= kept;
                    s[n][i] *= kept;
                }
            }
        weigh(s, d_read, d_value);
        weigh(slope, scaled, d_pattern);
        if (move) weigh(s, d_moved, d_pattern);
    });
}
