// Classic Hopfield memory in training, see refine.cuh and carry.cuh. Decoding is in step.cu.
#include "refine.cuh"

KERNEL(hebbian_forward, 128, Refinement a, const unsigned* clock, Saved kept, Tensor y) { refine<HEBBIAN>(a, clock, kept, y); }
KERNEL(hebbian_rows, 128, Refinement a, Saved kept, Tensor dy, RowPass row_pass, Tensor d_qpv, float* partial) {
    refine_rows<HEBBIAN>(a, kept, dy, row_pass, d_qpv, partial);
}
KERNEL(hebbian_columns, 128, Refinement a, Saved kept, RowPass row_pass, int successor, Tensor d_qpv, float* partial) {
    refine_columns<HEBBIAN>(a, kept, row_pass, successor, d_qpv, partial);
}

// The matrices before each chunk; one block per ROWS rows of them, for all chunks in order.
KERNEL(hebbian_carry, 128, Refinement a) {
    DYNAMIC_SHARED(REAL, tiles);  // 2 · COLUMNS rows
    const int first = blockIdx.x * ROWS, head = blockIdx.y, sequence = blockIdx.z, d = a.head_dim, rows = min(ROWS, d - first);
    const Items items = items_of(a.memory, sequence, head, d);
    const float decay = log2_decay(a, head), over = decay_power(decay, ROWS);
    REAL* values = tiles + COLUMNS * PITCH;
    float by_pattern[FRAGMENTS][4], by_value[FRAGMENTS][4];
    clear(by_pattern);
    clear(by_value);
#pragma unroll 1
    for (int chunk = 0; chunk < a.carry.chunks; chunk++) {
        const size_t row = carry_row(a.carry, sequence, head, chunk, d) + first;
        store_rows<REAL>(by_pattern, a.carry.of, row, rows, 0, d);
        store_rows<REAL>(by_value, a.carry.of, row, rows, d, d);
        if (chunk + 1 == a.carry.chunks) break;
        scale(by_pattern, over);
        scale(by_value, over);
#pragma unroll 1
        for (int item = 0; item < ROWS; item += COLUMNS) {
            const size_t from = items.row + chunk * ROWS + item;
            __syncthreads();
            load_tile(items.of, from, COLUMNS, COLUMNS, items.pattern, d, 1.0f, tiles);
            load_tile(items.of, from, COLUMNS, COLUMNS, items.value, d, 1.0f, values);
            __syncthreads();
            float part[SCORES][4];
            transposed_rows(tiles, first, d, decay, ROWS - item, -1, part);
            weigh(part, tiles, by_pattern);
            weigh(part, values, by_value);
        }
    }
}

// The gradient of the matrices after each chunk, from the reads of all later queries in all refinements; and the gradient of the
// decay between chunks: partial, [B · blocks, H].
KERNEL(hebbian_carry_back, 128, Refinement a, RowPass row_pass, Carry d_carry, float* partial) {
    DYNAMIC_SHARED(REAL, tiles);  // 3 · COLUMNS rows
    SHARED(float, sums, TILE_WARPS);
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, d = a.head_dim, rows = min(ROWS, d - first);
    const float decay = log2_decay(a, head), over = decay_power(decay, ROWS);
    REAL *d_read = tiles + COLUMNS * PITCH, *d_moved = tiles + 2 * COLUMNS * PITCH;
    float by_pattern[FRAGMENTS][4], by_value[FRAGMENTS][4], before[FRAGMENTS][4], d_age = 0.0f;
    clear(by_pattern);
    clear(by_value);
#pragma unroll 1
    for (int chunk = a.carry.chunks - 1; chunk >= 0; chunk--) {
        const size_t row = carry_row(a.carry, sequence, head, chunk, d) + first;
        store_rows<REAL>(by_pattern, d_carry.of, row, rows, 0, d);
        store_rows<REAL>(by_value, d_carry.of, row, rows, d, d);
        if (chunk == 0) break;
        scale(by_pattern, over);
        scale(by_value, over);
        load_rows<REAL>(a.carry.of, row, rows, 0, d, before);
        d_age += ROWS * dot(by_pattern, before);
        load_rows<REAL>(a.carry.of, row, rows, d, d, before);
        d_age += ROWS * dot(by_value, before);
        const int end = min(a.time, (chunk + 1) * ROWS);
#pragma unroll 1
        for (int k = 0; k < a.depth; k++) {
            const bool move = k + 1 < a.depth;
#pragma unroll 1
            for (int query = chunk * ROWS; query < end; query += COLUMNS) {
                const size_t from = static_cast<size_t>(k) * row_pass.rows + static_cast<size_t>(sequence) * a.time + query;
                __syncthreads();
                load_tile(row_pass.scaled, from, end - query, COLUMNS, head * d, d, 1.0f, tiles);
                load_tile(row_pass.d_read, from, end - query, COLUMNS, head * d, d, 1.0f, d_read);
                if (move) load_tile(row_pass.d_moved, from, end - query, COLUMNS, head * d, d, 1.0f, d_moved);
                __syncthreads();
                float part[SCORES][4];
                transposed_rows(tiles, first, d, decay, query - chunk * ROWS, 1, part);
                weigh(part, d_read, by_value);
                if (move) weigh(part, d_moved, by_pattern);
            }
        }
    }
    d_age = block_sum(d_age, sums);
    if (threadIdx.x == 0) partial[(static_cast<size_t>(sequence) * gridDim.x + blockIdx.x) * heads + head] = d_age * age_slope(a, head);
}
