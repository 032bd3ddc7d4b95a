// Classic Hopfield memory of a training chunk: see refine.cuh. For a stream, stream.cu.
#include "refine.cuh"

KERNEL(hebbian_forward, 128, Refinement a, const unsigned* clock, Kept kept, Tensor y) { refine<HEBBIAN>(a, clock, kept, y); }
KERNEL(hebbian_rows, 128, Refinement a, Kept kept, Tensor dy, Chain chain, Tensor d_qpv, float* partial) {
    refine_rows<HEBBIAN>(a, kept, dy, chain, d_qpv, partial);
}
KERNEL(hebbian_columns, 128, Refinement a, Kept kept, Chain chain, int successor, Tensor d_qpv, float* partial) {
    refine_columns<HEBBIAN>(a, kept, chain, successor, d_qpv, partial);
}
