// The episodic memory. Products of keys are matrix products before and after these kernels, for one sequence at a time: of the
// chunk's positions with all rows of the ring, [time, rows] in scratch. Bytes here: those products once forward, four times backward.
#include "common.cuh"

constexpr int EPISODIC_THREADS = 128, EPISODIC_WARPS = EPISODIC_THREADS / 32;
constexpr float EPISODIC_LEAST = 1e-30f, UNKNOWN_TOKEN = -1.0f;

DEVICE float total_of(float x, float* sums) {
    x = warp_sum(x);
    __syncthreads();
    if (lane() == 0) sums[warp()] = x;
    __syncthreads();
    x = 0.0f;
    for (int w = 0; w < warps(); w++) x += sums[w];
    return x;
}
DEVICE float largest_of(float x, float* sums) {
    x = warp_max(x);
    __syncthreads();
    if (lane() == 0) sums[warp()] = x;
    __syncthreads();
    x = LOWEST;
    for (int w = 0; w < warps(); w++) x = fmaxf(x, sums[w]);
    return x;
}

// Which items a position sees: `first` … `end` − 1, where the ring's newest item is `newest`.
struct Visible {
    int first, end, newest, rows;

    // The item in a row of the ring; negative where there is none yet.
    __device__ __forceinline__ int item(int row) const { return newest - ((newest - row) % rows + rows) % rows; }
    __device__ __forceinline__ bool sees(int row) const {
        const int j = item(row);
        return first <= j && j < end;
    }
};

// Of position `t` of a chunk of `time` positions, before which came `clock`.
DEVICE Visible visible(int clock, int t, int time, int rows, int window) {
    const int end = clock + t;
    int first = max(0, clock + time - rows);
    if (window > 0) first = max(first, end - window);
    return {min(first, end), end, clock + time - 1, rows};
}

// Unit keys and the tokens that followed, one warp per position. Bytes: the keys twice.
KERNEL(episodic_store, 256, Tensor keys, const unsigned* tokens, const unsigned* clock, int batch, int time, int width, int rows, Tensor ring_keys,
       Tensor ring_tokens) {
    const int i = blockIdx.x * warps() + warp(), sequence = i / time, t = i % time, before = clock ? *clock : 0;
    if (sequence >= batch || t < time - rows) return;
    const int row = sequence * rows + (before + t) % rows;
    float sum = 0.0f;
    for (int c = lane(); c < width; c += 32) {
        const float x = get(keys, at(keys, i, c));
        sum += x * x;
    }
    const float scale = 1.0f / sqrtf(warp_sum(sum) + 1e-6f);
    for (int c = lane(); c < width; c += 32) put(ring_keys, at(ring_keys, row, c), scale * get(keys, at(keys, i, c)));
    if (lane() > 0) return;
    // Not where the item before has left the ring: its row is the last position's.
    if (before + t > 0 && time - t < rows) {
        const size_t last = static_cast<size_t>(sequence) * rows + (before + t - 1) % rows;
        if (t > 0 || get(ring_tokens, last) == UNKNOWN_TOKEN) put(ring_tokens, last, static_cast<float>(tokens[i]));
    }
    if (t == time - 1) put(ring_tokens, row, UNKNOWN_TOKEN);
}

// The chunk's keys, or those of the newest position, in their order: to[t] = ring[(clock + t + shift) mod rows].
KERNEL(episodic_gather, 256, Tensor ring_keys, const unsigned* clock, int shift, int time, int width, int rows, Tensor to) {
    const size_t i = thread();
    const int t = i / width, c = i % width;
    if (t >= time) return;
    put(to, at(to, t, c), get(ring_keys, at(ring_keys, ((clock ? static_cast<int>(*clock) : 0) + t + shift) % rows, c)));
}

// What one position finds; one block.
struct LookUp {
    float top, total, matched, best;
};

DEVICE LookUp look_up(const Tensor& products, int t, const Tensor& tokens, const Visible& v, float beta, float target, float* sums) {
    float top = LOWEST;
    for (int row = threadIdx.x; row < v.rows; row += blockDim.x)
        if (v.sees(row)) top = fmaxf(top, get(products, at(products, t, row)));
    top = largest_of(top, sums);
    float total = 0.0f, matched = 0.0f, best = 0.0f;
    for (int row = threadIdx.x; row < v.rows; row += blockDim.x)
        if (v.sees(row)) {
            const float s = get(products, at(products, t, row)), e = expf(beta * (s - top));
            total += e;
            if (get(tokens, row) == target) matched += e;
            if (s == top) best += 1.0f;
        }
    total = total_of(total, sums);
    matched = total_of(matched, sums);
    best = total_of(best, sums);
    return {top, total, total > 0.0f ? matched / total : 0.0f, best};
}

DEVICE float target_number(unsigned target) { return target == IGNORE_TARGET ? -2.0f : static_cast<float>(target); }

// Of one sequence, a block per position.
KERNEL(episodic_rows, EPISODIC_THREADS, Tensor products, Tensor tokens, Tensor gate, Tensor log_beta, Tensor match_weight, const unsigned* targets,
       const unsigned* clock, int time, int rows, int window, Tensor mixture) {
    SHARED(float, sums, EPISODIC_WARPS);
    const int t = blockIdx.x;
    const Visible v = visible(clock ? *clock : 0, t, time, rows, window);
    const LookUp found = look_up(products, t, tokens, v, expf(get(log_beta, 0)), target_number(targets[t]), sums);
    if (threadIdx.x > 0) return;
    float keep = 0.0f, used = LOWEST;
    if (found.total > 0.0f) {
        const float z = get(gate, at(gate, t, 0)) + get(match_weight, 0) * found.top;
        keep = -softplus(z);
        used = -softplus(-z) + logf(fmaxf(found.matched, EPISODIC_LEAST));
    }
    put(mixture, at(mixture, t, 0), keep);
    put(mixture, at(mixture, t, 1), used);
}

// Overwrites products by their gradients; partial [time, 2]: gradients of log_beta and match_weight.
KERNEL(episodic_rows_backward, EPISODIC_THREADS, Tensor products, Tensor tokens, Tensor gate, Tensor log_beta, Tensor match_weight,
       const unsigned* targets, const unsigned* clock, int time, int rows, int window, Tensor d_mixture, Tensor d_gate, Tensor partial) {
    SHARED(float, sums, EPISODIC_WARPS);
    const int t = blockIdx.x;
    const float beta = expf(get(log_beta, 0)), weight = get(match_weight, 0), target = target_number(targets[t]);
    const Visible v = visible(clock ? *clock : 0, t, time, rows, window);
    const LookUp found = look_up(products, t, tokens, v, beta, target, sums);
    const float d_keep = get(d_mixture, at(d_mixture, t, 0)), d_used = get(d_mixture, at(d_mixture, t, 1));
    float d_z = 0.0f, prior = 0.0f, posterior = 0.0f;
    if (found.total > 0.0f) {
        const float z = get(gate, at(gate, t, 0)) + weight * found.top;
        d_z = d_used * sigmoid(-z) - d_keep * sigmoid(z);
        if (found.matched >= EPISODIC_LEAST) {
            prior = d_used / found.total;
            posterior = prior / found.matched;
        }
    }
    const float d_top = found.best > 0.0f ? d_z * weight / found.best : 0.0f;
    float d_log_beta = 0.0f;
    for (int row = threadIdx.x; row < v.rows; row += blockDim.x) {
        const size_t i = at(products, t, row);
        float d = 0.0f;
        if (v.sees(row)) {
            const float s = get(products, i), e = expf(beta * (s - found.top));
            const float d_scaled = beta * e * (get(tokens, row) == target ? posterior - prior : -prior);
            d_log_beta += d_scaled * s;
            d = d_scaled + (s == found.top ? d_top : 0.0f);
        }
        put(products, i, d);
    }
    d_log_beta = total_of(d_log_beta, sums);
    if (threadIdx.x > 0) return;
    put(d_gate, at(d_gate, t, 0), d_z);
    put(partial, at(partial, t, 0), d_log_beta);
    put(partial, at(partial, t, 1), found.total > 0.0f ? d_z * found.top : 0.0f);
}

// Through unit(): d_keys = r (d − r² v (v · d)), d = as queries + as items, one warp per position of one sequence.
KERNEL(episodic_keys_backward, 256, Tensor keys, Tensor d_queries, Tensor d_items, const unsigned* clock, int time, int width, int rows,
       Tensor d_keys) {
    const int t = blockIdx.x * warps() + warp();
    if (t >= time) return;
    const int row = ((clock ? static_cast<int>(*clock) : 0) + t) % rows;
    float square = 0.0f, along = 0.0f;
    for (int c = lane(); c < width; c += 32) {
        const float x = get(keys, at(keys, t, c)), d = get(d_queries, at(d_queries, t, c)) + get(d_items, at(d_items, row, c));
        square += x * x;
        along += x * d;
    }
    const float r = 1.0f / sqrtf(warp_sum(square) + 1e-6f);
    along = r * r * warp_sum(along);
    for (int c = lane(); c < width; c += 32) {
        const float x = get(keys, at(keys, t, c)), d = get(d_queries, at(d_queries, t, c)) + get(d_items, at(d_items, row, c));
        put(d_keys, at(d_keys, t, c), r * (d - along * x));
    }
}

// Products in `weights` [B, rows] become weights, and logits [B, V] log((1 − g) softmax); log g stays in `used` [B]. A block per
// sequence. Bytes: weights three times, logits three times.
KERNEL(episodic_weights, EPISODIC_THREADS, Tensor gate, Tensor log_beta, Tensor match_weight, const unsigned* clock, int rows, int window, int vocab,
       Tensor weights, Tensor logits, float* used) {
    SHARED(float, sums, EPISODIC_WARPS);
    const int sequence = blockIdx.x;
    const float beta = expf(get(log_beta, 0));
    const Visible v = visible(static_cast<int>(*clock) - 1, 0, 1, rows, window);
    float top = LOWEST, total = 0.0f;
    for (int row = threadIdx.x; row < rows; row += blockDim.x)
        if (v.sees(row)) top = fmaxf(top, get(weights, at(weights, sequence, row)));
    top = largest_of(top, sums);
    for (int row = threadIdx.x; row < rows; row += blockDim.x) {
        const size_t i = at(weights, sequence, row);
        const float e = v.sees(row) ? expf(beta * (get(weights, i) - top)) : 0.0f;
        total += e;
        put(weights, i, e);
    }
    total = total_of(total, sums);
    float keep = 0.0f, log_used = LOWEST;
    if (total > 0.0f) {
        const float z = get(gate, sequence) + get(match_weight, 0) * top;
        keep = -softplus(z), log_used = -softplus(-z);
        for (int row = threadIdx.x; row < rows; row += blockDim.x) {
            const size_t i = at(weights, sequence, row);
            put(weights, i, get(weights, i) / total);
        }
    }
    float largest = LOWEST, sum = 0.0f;
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) largest = fmaxf(largest, get(logits, at(logits, sequence, i)));
    largest = largest_of(largest, sums);
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) sum += expf(get(logits, at(logits, sequence, i)) - largest);
    const float shift = keep - largest - logf(total_of(sum, sums));
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
        const size_t to = at(logits, sequence, i);
        put(logits, to, get(logits, to) + shift);
    }
    if (threadIdx.x == 0) used[sequence] = log_used;
}

// Adds the items to the distribution: the block of a token's first item sums all of its items in order, the other blocks return
// early. Bytes: up to rows² tokens from L2.
KERNEL(episodic_scatter, EPISODIC_THREADS, Tensor tokens, Tensor weights, const float* used, int rows, Tensor logits) {
    SHARED(float, sums, EPISODIC_WARPS);
    const int mine = blockIdx.x, sequence = blockIdx.y;
    if (get(weights, at(weights, sequence, mine)) <= 0.0f) return;
    const float token = get(tokens, at(tokens, sequence, mine));
    int earlier = 0;
    for (int row = threadIdx.x; row < mine; row += blockDim.x)
        earlier |= get(tokens, at(tokens, sequence, row)) == token && get(weights, at(weights, sequence, row)) > 0.0f;
    if (__syncthreads_or(earlier)) return;
    float sum = 0.0f;
    for (int row = mine + threadIdx.x; row < rows; row += blockDim.x)
        if (get(tokens, at(tokens, sequence, row)) == token) sum += get(weights, at(weights, sequence, row));
    sum = total_of(sum, sums);
    if (threadIdx.x > 0) return;
    const size_t to = at(logits, sequence, static_cast<int>(token));
    const float a = get(logits, to), b = used[sequence] + logf(fmaxf(sum, EPISODIC_LEAST)), top = fmaxf(a, b);
    put(logits, to, top + log1pf(expf(-fabsf(a - b))));
}
