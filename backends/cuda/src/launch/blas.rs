//! Matrix products by cuBLASLt, with fused bias and residual.

use crate::{error::DeviceError, tensor::Mat};
use cudarc::{
    cublaslt::{
        result::{self, CublasError},
        sys,
    },
    driver,
};
use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ffi::c_void,
    mem::MaybeUninit,
    sync::{Mutex, PoisonError},
};

/// `to = a · b (+ bias) (+ add)`, row-major, `[rows, inner] · [inner, columns]`; either factor may be stored transposed.
///
/// `a` and `b` have one element type; `add` and `bias` have that of `to`, and `add` may be `to` itself. Operations:
/// 2 · rows · columns · inner; bytes: at least each matrix once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    pub(crate) a: Mat,
    pub(crate) transpose_a: bool,
    pub(crate) b: Mat,
    pub(crate) transpose_b: bool,
    pub(crate) bias: Option<Mat>,
    pub(crate) add: Option<Mat>,
    pub(crate) to: Mat,
}

impl std::fmt::Display for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, columns, inner, .. } = self;
        let transposed = |yes: bool| if yes { ", transposed" } else { "" };
        let bits = |mat: Mat| if mat.bf16 { "bf16" } else { "f32" };
        let (a, b) = (transposed(self.transpose_a), transposed(self.transpose_b));
        write!(f, "the product [{rows}, {inner}{a}] · [{inner}, {columns}{b}] of {} to {}", bits(self.a), bits(self.to))
    }
}

/// Workspace of the library in bytes, as recommended for Hopper.
const WORKSPACE: usize = 32 << 20;

pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: u64,
    plans: Mutex<HashMap<Key, Plan>>,
}

/// The properties of a product that determine its plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    extents: [usize; 3],
    transposed: [bool; 2],
    kinds: [bool; 2],
    strides: [usize; 4],
    /// Alignment of the addresses in bytes, up to 256.
    aligned: [u32; 4],
    bias: bool,
    add: bool,
}

/// Matrix descriptors, and the algorithms that the library's heuristic proposes for them.
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 4],
    /// Best first; those that the library refused to run are removed.
    algorithms: VecDeque<sys::cublasLtMatmulAlgo_t>,
}

/// Most algorithms that are asked for.
const ALGORITHMS: usize = 8;

// SAFETY: plans are used under the lock that holds them.
unsafe impl Send for Plan {}

fn cublas_error(e: CublasError) -> DeviceError {
    DeviceError::Driver(format!("cuBLASLt: {:?}", e.0))
}

fn kind(bf16: bool) -> sys::cudaDataType {
    if bf16 { sys::cudaDataType_t::CUDA_R_16BF } else { sys::cudaDataType_t::CUDA_R_32F }
}

fn aligned(mat: Mat) -> u32 {
    1 << mat.address.trailing_zeros().min(8)
}

impl Blas {
    /// On the current context.
    pub(super) fn new() -> Result<Self, DeviceError> {
        let handle = result::create_handle().map_err(cublas_error)?;
        // SAFETY: freed once, when the driver is dropped.
        let workspace = unsafe { driver::result::malloc_sync(WORKSPACE) }.map_err(DeviceError::driver)?;
        Ok(Self { handle, workspace, plans: Mutex::default() })
    }

    /// Destroys the library's handle and frees its workspace.
    pub(super) fn free(&self) {
        // SAFETY: the driver calls this once, when it is dropped.
        unsafe {
            let _ = driver::result::free_sync(self.workspace);
            let _ = result::destroy_handle(self.handle);
        }
    }

    /// Queues the product. The library's matrices are column-major, so it computes `toᵀ = bᵀ · aᵀ`.
    pub(super) fn product(&self, p: &Product, stream: driver::sys::CUstream) -> Result<(), DeviceError> {
        let c = p.add.unwrap_or(p.to);
        let key = Key {
            extents: [p.rows, p.columns, p.inner],
            transposed: [p.transpose_a, p.transpose_b],
            kinds: [p.a.bf16, p.to.bf16],
            strides: [p.a.stride, p.b.stride, c.stride, p.to.stride],
            aligned: [p.a, p.b, c, p.to].map(aligned),
            bias: p.bias.is_some(),
            add: p.add.is_some(),
        };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.entry(key) {
            Entry::Occupied(plan) => plan.into_mut(),
            Entry::Vacant(place) => place.insert(self.plan(&key, p)?),
        };
        if let Some(bias) = p.bias {
            set(plan.product, sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.address)?;
        }
        let (alpha, beta) = (1.0f32, if p.add.is_some() { 1.0f32 } else { 0.0 });
        let [b, a, from, to] = plan.layouts;
        let run = |algorithm: &sys::cublasLtMatmulAlgo_t| {
            // SAFETY: the addresses are of matrices of the extents in the plan, and live until the queued work has run.
            unsafe {
                result::matmul(
                    self.handle,
                    plan.product,
                    (&raw const alpha).cast(),
                    (&raw const beta).cast(),
                    p.b.address as *const c_void,
                    b,
                    p.a.address as *const c_void,
                    a,
                    c.address as *const c_void,
                    from,
                    p.to.address as *mut c_void,
                    to,
                    algorithm,
                    self.workspace as *mut c_void,
                    WORKSPACE,
                    stream.cast(),
                )
            }
        };
        // A refusal comes before anything is queued; the order is the library's, so that runs choose alike.
        while let Some(algorithm) = plan.algorithms.front() {
            match run(algorithm) {
                Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED | sys::cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE))
                    if plan.algorithms.len() > 1 =>
                {
                    plan.algorithms.pop_front();
                }
                outcome => return outcome.map_err(cublas_error),
            }
        }
        unreachable!("a plan has an algorithm")
    }

    fn plan(&self, key: &Key, p: &Product) -> Result<Plan, DeviceError> {
        use sys::{cublasLtMatmulDescAttributes_t as Attribute, cublasLtMatmulPreferenceAttributes_t as Wish};
        // cublasOperation_t: CUBLAS_OP_N is 0, CUBLAS_OP_T is 1.
        let operation = |transposed: bool| i32::from(transposed);
        let product = result::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, kind(false)).map_err(cublas_error)?;
        set(product, Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &operation(key.transposed[1]))?;
        set(product, Attribute::CUBLASLT_MATMUL_DESC_TRANSB, &operation(key.transposed[0]))?;
        if let Some(bias) = p.bias {
            set(product, Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS)?;
            set(product, Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.address)?;
            set(product, Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &kind(bias.bf16))?;
        }
        let [rows, columns, inner] = key.extents;
        let layout = |bf16, transposed: bool, [rows, columns]: [usize; 2], stride: usize| {
            let [rows, columns] = if transposed { [columns, rows] } else { [rows, columns] };
            // A row here is a column of the library's matrix.
            result::create_matrix_layout(kind(bf16), columns as u64, rows as u64, stride as i64).map_err(cublas_error)
        };
        let [a, b, c, to] = key.strides;
        let layouts = [
            layout(key.kinds[0], key.transposed[1], [inner, columns], b)?,
            layout(key.kinds[0], key.transposed[0], [rows, inner], a)?,
            layout(key.kinds[1], false, [rows, columns], c)?,
            layout(key.kinds[1], false, [rows, columns], to)?,
        ];
        let wishes = result::create_matmul_pref().map_err(cublas_error)?;
        let wish = |attribute, value: *const c_void, size| {
            // SAFETY: the preference lives until the end of this function, and the value has `size` bytes.
            unsafe { result::set_matmul_pref_attribute(wishes, attribute, value, size) }.map_err(cublas_error)
        };
        let most = WORKSPACE;
        wish(Wish::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (&raw const most).cast(), size_of::<usize>())?;
        // The library's A, B, C, D are b, a, add and to.
        let [a, b, c, to] = key.aligned;
        for (attribute, bytes) in [
            (Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b),
            (Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a),
            (Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c),
            (Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, to),
        ] {
            wish(attribute, (&raw const bytes).cast(), size_of::<u32>())?;
        }
        let [left, right, from, onto] = layouts;
        let (mut found, mut count) = ([const { MaybeUninit::<sys::cublasLtMatmulHeuristicResult_t>::uninit() }; ALGORITHMS], 0);
        // SAFETY: the descriptors created above live as long as the plan, the preference until the next call; the library writes the
        // first `count` results.
        let outcome = unsafe {
            let (of, to) = (ALGORITHMS as i32, found.as_mut_ptr().cast());
            sys::cublasLtMatmulAlgoGetHeuristic(self.handle, product, left, right, from, onto, wishes, of, to, &mut count).result()
        };
        // SAFETY: as above.
        unsafe { result::destroy_matmul_pref(wishes) }.map_err(cublas_error)?;
        outcome.map_err(cublas_error)?;
        // SAFETY: as above.
        let found = found.iter().take(count.max(0) as usize).map(|result| unsafe { result.assume_init_ref() });
        let usable = found.filter(|result| result.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS);
        let algorithms: VecDeque<_> = usable.map(|result| result.algo).collect();
        if algorithms.is_empty() {
            return Err(DeviceError::Driver("cuBLASLt: no algorithm".into()));
        }
        Ok(Plan { product, layouts, algorithms })
    }
}

/// Sets one attribute of a product's descriptor.
fn set<T>(of: sys::cublasLtMatmulDesc_t, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<(), DeviceError> {
    // SAFETY: the descriptor is alive, and the value has the size passed.
    unsafe { result::set_matmul_desc_attribute(of, attribute, std::ptr::from_ref(value).cast(), size_of::<T>()) }.map_err(cublas_error)
}
