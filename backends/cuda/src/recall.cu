// Modern Hopfield memory: see refine.cuh.
#include "refine.cuh"

KERNEL(recall_forward, 128, Refinement a, const unsigned* clock, Kept kept, Tensor y) { refine<SOFTMAX>(a, clock, kept, y); }
KERNEL(recall_rows, 128, Refinement a, Kept kept, Tensor dy, Chain chain, Tensor d_qpv, float* partial) {
    refine_rows<SOFTMAX>(a, kept, dy, chain, d_qpv, partial);
}
KERNEL(recall_columns, 128, Refinement a, Kept kept, Chain chain, int successor, Tensor d_qpv, float* partial) {
    refine_columns<SOFTMAX>(a, kept, chain, successor, d_qpv, partial);
}
