// Token and position embeddings, the last position, and the weighted average over positions.
#include "common.cuh"

// y[row] = table[token[row]]. Bytes: the touched rows of the table, and y.
KERNEL(embed_forward, 256, const unsigned* tokens, Tensor table, int rows, int width, Tensor y) {
    const size_t i = thread() * VEC;
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    float x[VEC];
    load(table, at(table, tokens[row], column), x);
    store(y, at(y, row, column), x);
}

// d_table[token] += Σ dy over the token's rows, in order: the block of a token's first row sums all of them, the other blocks
// return early. Bytes: dy once, the touched rows of d_table twice, and up to rows² token ids from L2.
KERNEL(embed_backward, 128, const unsigned* tokens, Tensor dy, int rows, int width, Tensor d_table) {
    SHARED(int, found, 128);
    SHARED(int, counts, 4);
    const int mine = blockIdx.x;
    const unsigned token = tokens[mine];
    int earlier = 0;
    for (int row = threadIdx.x; row < mine; row += 128) earlier |= tokens[row] == token;
    if (__syncthreads_or(earlier)) return;
    for (int start = mine; start < rows; start += 128) {
        const int row = start + threadIdx.x;
        const bool same = row < rows && tokens[row] == token;
        const unsigned votes = __ballot_sync(ALL_LANES, same);
        if (lane() == 0) counts[warp()] = __popc(votes);
        __syncthreads();
        int before = 0, total = 0;
        for (int w = 0; w < 4; w++) {
            before += w < warp() ? counts[w] : 0;
            total += counts[w];
        }
        if (same) found[before + __popc(votes & ((1u << lane()) - 1))] = row;
        __syncthreads();
        for (int c = threadIdx.x; c < width && total > 0; c += 128) {
            const size_t to = at(d_table, token, c);
            float sum = get(d_table, to);
            for (int i = 0; i < total; i++) sum += get(dy, at(dy, found[i], c));
            put(d_table, to, sum);
        }
        __syncthreads();
    }
}

// y[b, t] += table[clock + t]. Bytes: y twice, the table once.
KERNEL(positions_forward, 256, Tensor table, const unsigned* clock, int rows, int time, int width, Tensor y) {
    const size_t i = thread() * VEC;
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    const int start = clock ? *clock : 0;
    float p[VEC], x[VEC];
    load(table, at(table, start + row % time, column), p);
    load(y, at(y, row, column), x);
#pragma unroll
    for (int n = 0; n < VEC; n++) x[n] += p[n];
    store(y, at(y, row, column), x);
}

// d_table[clock + t] += Σ_b dy[b, t]. Bytes: dy once, the table's rows twice.
KERNEL(positions_backward, 256, Tensor dy, const unsigned* clock, int batch, int time, int width, Tensor d_table) {
    const size_t i = thread() * VEC;
    const int t = i / width, column = i % width;
    if (t >= time) return;
    const size_t to = at(d_table, (clock ? *clock : 0) + t, column);
    float sum[VEC], x[VEC];
    load(d_table, to, sum);
    for (int b = 0; b < batch; b++) {
        load(dy, at(dy, b * time + t, column), x);
#pragma unroll
        for (int n = 0; n < VEC; n++) sum[n] += x[n];
    }
    store(d_table, to, sum);
}

// y[b] = x[b, time − 1].
KERNEL(last_forward, 256, Tensor x, int batch, int time, int width, Tensor y) {
    const size_t i = thread() * VEC;
    const int b = i / width, column = i % width;
    if (b >= batch) return;
    float v[VEC];
    load(x, at(x, b * time + time - 1, column), v);
    store(y, at(y, b, column), v);
}

// y[first + b] = Σ_t weights[b, t] x[b, t], in order of position. Bytes: x once; two operations per element.
KERNEL(average_forward, 256, Tensor x, Tensor weights, int batch, int time, int width, int first, Tensor y) {
    const size_t i = thread() * VEC;
    const int b = i / width, column = i % width;
    if (b >= batch) return;
    float sum[VEC] = {}, v[VEC];
    for (int t = b * time; t < (b + 1) * time; t++) {
        const float weight = get(weights, at(weights, t, 0));
        load(x, at(x, t, column), v);
#pragma unroll
        for (int n = 0; n < VEC; n++) sum[n] += weight * v[n];
    }
    store(y, at(y, first + b, column), sum);
}

// dx[b, t] = weights[b, t] dy[first + b]. Bytes: dx once.
KERNEL(average_backward, 256, Tensor weights, Tensor dy, int rows, int time, int width, int first, Tensor dx) {
    const size_t i = thread() * VEC;
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    const float weight = get(weights, at(weights, row, 0));
    float v[VEC];
    load(dy, at(dy, first + row / time, column), v);
#pragma unroll
    for (int n = 0; n < VEC; n++) v[n] *= weight;
    store(dx, at(dx, row, column), v);
}
