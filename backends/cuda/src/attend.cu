// Causal attention; one block per ROWS queries of a head. With n the mean number of visible positions (T / 2, or the window):
// forward 4 · B · H · T · n · d operations, bytes q, k, v, y and the log sums; backward 14 · B · H · T · n · d operations in two
// passes, bytes q, k, v, y, dy twice and their gradients. Tiles of keys and values are read from L2.
#include "lookup.cuh"

// q is in the first columns of `qkv`.
KERNEL(attend_forward, 128, Tensor qkv, Memory memory, View view, const unsigned* clock, int time, int head_dim, float scale, float* saved,
       Tensor y) {
    DYNAMIC_SHARED(REAL, tiles);  // ROWS rows, and 2 · COLUMNS per stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, sequence = blockIdx.z, rows = min(ROWS, time - first);
    const size_t row = static_cast<size_t>(sequence) * time + first;
    const Mask mask = Mask::of(view, clock ? *clock : 0);
    load_tile(qkv, row, rows, ROWS, head * head_dim, head_dim, scale, tiles);
    float read[FRAGMENTS][4], moved[FRAGMENTS][4], log_sum[2];
    look_up<SOFTMAX>(mask, first, time, items_of(memory, sequence, head, head_dim), tiles, false, 0.0f, tiles + ROWS * PITCH, read, moved, log_sum);
    store_rows<REAL>(read, y, row, rows, head * head_dim, head_dim);
    for (int half = 0; half < 2; half++)
        if (saved && pair() == 0 && row_of(half) < rows) saved[(row + row_of(half)) * gridDim.y + head] = log_sum[half];
}

// The gradient of the queries, and dy · y of each query for the pass over columns.
KERNEL(attend_rows, 128, Tensor qkv, Memory memory, View view, int time, int head_dim, float scale, const float* saved, Tensor y, Tensor dy,
       float* delta, Tensor d) {
    DYNAMIC_SHARED(REAL, tiles);  // 2 · ROWS rows, and 2 · COLUMNS a stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, sequence = blockIdx.z, rows = min(ROWS, time - first);
    const size_t row = static_cast<size_t>(sequence) * time + first;
    REAL* d_read = tiles + ROWS * PITCH;
    load_tile(qkv, row, rows, ROWS, head * head_dim, head_dim, scale, tiles);
    load_tile(dy, row, rows, ROWS, head * head_dim, head_dim, 1.0f, d_read);
    float read[FRAGMENTS][4], d_query[FRAGMENTS][4];
    load_rows<REAL>(y, row, rows, head * head_dim, head_dim, read);
    load_rows<REAL>(dy, row, rows, head * head_dim, head_dim, d_query);
    OutGrad out_grad = {tiles, d_read, nullptr, {}, {}};
    row_dots(read, d_query, out_grad.delta);
    for (int half = 0; half < 2; half++) {
        if (row_of(half) >= rows) continue;
        const size_t statistic = (row + row_of(half)) * gridDim.y + head;
        out_grad.log_sum[half] = saved[statistic];
        if (pair() == 0) delta[statistic] = out_grad.delta[half];
    }
    look_up_rows_grad<SOFTMAX>(Mask::of(view, 0), first, time, items_of(memory, sequence, head, head_dim), out_grad, 0.0f, d_read + ROWS * PITCH, d_query);
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) d_query[n][i] *= scale;
    store_rows<REAL>(d_query, d, row, rows, head * head_dim, head_dim);
}

// The gradients of keys and values.
KERNEL(attend_columns, 128, Tensor qkv, Memory memory, View view, int time, int head_dim, float scale, const float* saved, const float* delta,
       Tensor dy, Tensor d) {
    DYNAMIC_SHARED(REAL, tiles);  // 2 · ROWS rows, and 2 · COLUMNS per stage, then 2 · COLUMNS f32 per stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, sequence = blockIdx.z, rows = min(ROWS, time - first);
    const size_t start = static_cast<size_t>(sequence) * time, row = start + first;
    REAL *values = tiles + ROWS * PITCH, *working = values + ROWS * PITCH;
    load_tile(memory.of, row, rows, ROWS, memory.pattern + head * head_dim, head_dim, 1.0f, tiles);
    load_tile(memory.of, row, rows, ROWS, memory.value + head * head_dim, head_dim, 1.0f, values);
    const size_t statistic = start * gridDim.y + head;
    const int column = head * head_dim;
    const int heads = gridDim.y;
    const Queries queries = {qkv, dy, {}, scale, start, column, column, saved + statistic, delta + statistic, heads, heads};
    float d_key[FRAGMENTS][4], d_value[FRAGMENTS][4];
    clear(d_key);
    clear(d_value);
    look_up_columns_grad<SOFTMAX>(Mask::of(view, 0), first, time, head_dim, queries, false, 0.0f, tiles, values, working,
                                  reinterpret_cast<float*>(working + STAGES * 2 * COLUMNS * PITCH), d_key, d_value);
    store_rows<REAL>(d_key, d, row, rows, memory.pattern + head * head_dim, head_dim);
    store_rows<REAL>(d_value, d, row, rows, memory.value + head * head_dim, head_dim);
}
