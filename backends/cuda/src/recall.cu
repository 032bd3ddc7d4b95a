// Modern Hopfield memory: see refine.cuh.
#include "refine.cuh"

KERNEL(recall_forward, 128, Refinement a, const unsigned* clock, Saved kept, Tensor y) { refine<SOFTMAX>(a, clock, kept, y); }
KERNEL(recall_rows, 128, Refinement a, Saved kept, Tensor dy, RowPass row_pass, Tensor d_qpv, float* partial) {
    refine_rows<SOFTMAX>(a, kept, dy, row_pass, d_qpv, partial);
}
KERNEL(recall_columns, 128, Refinement a, Saved kept, RowPass row_pass, int successor, Tensor d_qpv, float* partial) {
    refine_columns<SOFTMAX>(a, kept, row_pass, successor, d_qpv, partial);
}
