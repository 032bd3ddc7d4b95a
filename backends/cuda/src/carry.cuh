// What a chunk of ROWS items of a classic memory hands on to all later ones, so that time costs T and not T²: two matrices a
// head, M = Σ γ^age pattern ⊗ [pattern | value] over the items before a chunk, weighed as its first query sees them. Within a
// chunk items are looked up one by one (lookup.cuh); query i of it reads γ^i ξ M of those before. The form of Yang et al.,
// Gated Linear Attention (2024), with one decay a head.
//
// Making M or its gradient takes 4 · B · H · T · d² operations (the gradient K times as many), reading it as many as looking
// up d more items. Bytes: making it, the items once (its gradient: M once, and K times the queries and both their gradients)
// and 2d² numbers for each of the B · H · T / ROWS chunks; reading it, those numbers K times.
#pragma once
#include "lookup.cuh"

// [B·H·chunks·d, 2d]: a matrix of patterns and one of values side by side, for each chunk. M lies there as it is before the
// chunk, its gradient as it is behind it.
struct Carry {
    Tensor of;
    int chunks;
};

DEVICE size_t carry_row(const Carry& c, int sequence, int head, int chunk, int d) {
    return ((static_cast<size_t>(sequence) * gridDim.y + head) * c.chunks + chunk) * d;
}

// Eight times SCORES of a result's columns, from block `m` on, times a number for each of this lane's rows.
DEVICE void part_of(const float (&x)[BLOCKS][4], int m, const float (&factor)[2], float (&part)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) part[n][i] = m + n < BLOCKS ? factor[half_of(i)] * x[min(m + n, BLOCKS - 1)][i] : 0.0f;
}

// Tiles of the rows of both matrices that block `m` of a result's columns belongs to. All threads of the block take part.
DEVICE void load_carry(const Carry& c, size_t row, int m, int d, REAL* patterns, REAL* values) {
    __syncthreads();
    load_tile(c.of, row + 8 * m, d - 8 * m, COLUMNS, 0, d, 1.0f, patterns);
    load_tile(c.of, row + 8 * m, d - 8 * m, COLUMNS, d, d, 1.0f, values);
    __syncthreads();
}

// read += γ^i ξ · values and, if `move`, moved += γ^i ξ · patterns. `tiles`: two of COLUMNS rows.
DEVICE void read_carry(const Carry& c, size_t row, int d, float log2_decay, const float (&xi)[BLOCKS][4], bool move, REAL* tiles,
                       float (&read)[BLOCKS][4], float (&moved)[BLOCKS][4]) {
    const float kept[2] = {forgotten(log2_decay, row_of(0)), forgotten(log2_decay, row_of(1))};
#pragma unroll
    for (int m = 0; m < BLOCKS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(c, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float part[SCORES][4];
        part_of(xi, m, kept, part);
        weigh(part, tiles + COLUMNS * PITCH, read);
        if (move) weigh(part, tiles, moved);
    }
}

// d_query += what flows into the queries through the matrices. `tiles`: two of COLUMNS rows.
DEVICE Found read_carry_grad(const Carry& c, size_t row, int d, float log2_decay, const Flow& flow, REAL* tiles, float (&d_query)[BLOCKS][4]) {
    const int own = warp() * 16 * PITCH;
    Found found = {};
#pragma unroll
    for (int m = 0; m < BLOCKS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(c, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float slope[SCORES][4], along[SCORES][4];
        clear(slope);
        clear(along);
        scores(flow.d_read + own, tiles + COLUMNS * PITCH, slope);
        if (flow.d_moved) scores(flow.d_moved + own, tiles, along);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (m + n >= BLOCKS) continue;
                const int t = row_of(half_of(i));
                const float kept = forgotten(log2_decay, t), query = wide(flow.query[t * PITCH + column_of(m + n, i)]);
                slope[n][i] = kept * (slope[n][i] + along[n][i]);
                found.moved += kept * query * along[n][i];
                found.age += t * query * slope[n][i];
                d_query[min(m + n, BLOCKS - 1)][i] += slope[n][i];
            }
    }
    return found;
}

// d_pattern and d_value += what later chunks want of this one's items, from the gradient behind it; Σ age · weight · slope, the
// age when the chunk is over. `tiles`: two of COLUMNS rows.
DEVICE float hand_on_grad(const Carry& d_carry, size_t row, int d, float log2_decay, const REAL* patterns, const REAL* values, REAL* tiles,
                          float (&d_pattern)[BLOCKS][4], float (&d_value)[BLOCKS][4]) {
    const int own = warp() * 16 * PITCH;
    float age_sum = 0.0f;
#pragma unroll
    for (int m = 0; m < BLOCKS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(d_carry, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float part[SCORES][4], slope[SCORES][4];
        clear(slope);
        scores(patterns + own, tiles, slope);
        scores(values + own, tiles + COLUMNS * PITCH, slope);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int t = row_of(half_of(i)), block = min(m + n, BLOCKS - 1);
                const float kept = forgotten(log2_decay, ROWS - t);
                part[n][i] = m + n < BLOCKS ? kept * wide(patterns[t * PITCH + column_of(block, i)]) : 0.0f;
                if (m + n >= BLOCKS) continue;
                age_sum += (ROWS - t) * part[n][i] * slope[n][i];
                d_pattern[block][i] += kept * slope[n][i];
            }
        weigh(part, tiles, d_pattern);
        weigh(part, tiles + COLUMNS * PITCH, d_value);
    }
    return age_sum;
}

// Rows of the transposed tile, from column `first` on, times γ^(age + step · row of the tile).
DEVICE void transposed_rows(const REAL* tile, int first, int d, float log2_decay, int age, int step, float (&x)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = column_of(n, i), column = first + row_of(half_of(i));
            x[n][i] = column < d ? forgotten(log2_decay, age + step * row) * wide(tile[row * PITCH + column]) : 0.0f;
        }
}
