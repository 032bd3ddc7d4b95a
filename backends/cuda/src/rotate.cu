// Rotary position embeddings, in place. A thread rotates one pair of one position in all heads and sequences. The angle is computed
// once, in f64, since position times rate loses its fraction in f32 at late positions. Bytes: the columns twice; 6 operations per pair.
#include "common.cuh"

KERNEL(rotate, 128, const unsigned* clock, Tensor x, int batch, int time, int width, int head_dim, double base, int inverse) {
    const int half = head_dim / 2;
    const size_t index = thread();
    const int t = index / half, i = index % half;
    if (t >= time) return;
    const double turns = ((clock ? *clock : 0u) + static_cast<double>(t)) * exp(-2.0 * i / head_dim * log(base)) * 0.15915494309189533577;
    const float angle = 6.283185307179586477 * (turns - floor(turns)), c = cosf(angle), s = inverse ? -sinf(angle) : sinf(angle);
    for (int b = 0; b < batch; b++) {
        const size_t row = at(x, b * time + t, i);
        for (int head = 0; head < width; head += head_dim) {
            const float p = get(x, row + head), q = get(x, row + head + half);
            put(x, row + head, p * c - q * s);
            put(x, row + head + half, p * s + q * c);
        }
    }
}
