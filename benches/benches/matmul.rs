//! Matrix products at the models' shapes against the fastest crates; criterion prints elements per second, where an element
//! is one multiply-add. Products of decoding are compared with a plain read of as many bytes.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use hh_core::{
    backend::{Backward, Device, Forward, Precision},
    ops::{GradOut, Matmul, MatmulGrad},
    shape::Shape,
};
use hh_cpu::{Cpu, Tensor, Threads};
use hh_tests::kernels;
use std::{hint::black_box, time::Duration};

/// `(in, out)` in decoding: one that fits the cache, and bpe-97m's LM head.
const DECODING: [(usize, usize); 2] = [(256, 1024), (704, 50257)];

fn tensor(cpu: &mut Cpu<f32>, rows: usize, columns: usize) -> Tensor<f32> {
    let mut t = cpu.alloc(Shape::matrix(rows, columns), Precision::Compute).expect("memory for a matrix");
    t.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 17) as f32 / 17.0 - 0.5);
    t
}

/// The product that other crates compute: `c (+)= a · b`, with elements of a factor at `i · strides.0 + j · strides.1`.
struct Product<'a> {
    extents: (usize, usize, usize),
    a: (&'a [f32], (isize, isize)),
    b: (&'a [f32], (isize, isize)),
    c: &'a mut [f32],
    add: bool,
}

fn crates(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize, name: &str, p: Product) {
    let ((m, k, n), (a, (a_down, a_across)), (b, (b_down, b_across)), c) = (p.extents, p.a, p.b, p.c.as_mut_ptr());
    let (parallel, par) = match threads {
        1 => (gemm::Parallelism::None, faer::Par::Seq),
        _ => (gemm::Parallelism::Rayon(threads), faer::Par::rayon(threads)),
    };
    let beta = if p.add { 1.0 } else { 0.0 };
    // SAFETY, in all three: the strides describe matrices within the slices.
    group.bench_function(format!("{name} gemm"), |bench| {
        bench.iter(|| unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                1,
                n as isize,
                p.add,
                a.as_ptr(),
                a_across,
                a_down,
                b.as_ptr(),
                b_across,
                b_down,
                1.0,
                1.0,
                false,
                false,
                false,
                parallel,
            );
        });
    });
    group.bench_function(format!("{name} faer"), |bench| {
        bench.iter(|| unsafe {
            let to = faer::MatMut::from_raw_parts_mut(c, m, n, n as isize, 1);
            let a = faer::MatRef::from_raw_parts(a.as_ptr(), m, k, a_down, a_across);
            let b = faer::MatRef::from_raw_parts(b.as_ptr(), k, n, b_down, b_across);
            let how = if p.add { faer::Accum::Add } else { faer::Accum::Replace };
            faer::linalg::matmul::matmul(to, how, a, b, 1.0, par);
        });
    });
    if threads == 1 {
        group.bench_function(format!("{name} matrixmultiply"), |bench| {
            bench.iter(|| unsafe {
                matrixmultiply::sgemm(m, k, n, 1.0, a.as_ptr(), a_down, a_across, b.as_ptr(), b_down, b_across, beta, c, n as isize, 1);
            });
        });
    }
}

fn training(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut cpu = Cpu::<f32>::new(Threads::new(threads));
        for (rows, inp, out) in kernels::Matmul::TRAINING {
            let mut group = criterion.benchmark_group(format!("{rows}x{inp}x{out}, {threads} threads"));
            let work = (rows * inp * out) as u64;
            let [x, mut dx] = [0; 2].map(|_| tensor(&mut cpu, rows, inp));
            let [w, mut dw] = [0; 2].map(|_| tensor(&mut cpu, out, inp));
            let [mut y, dy] = [0; 2].map(|_| tensor(&mut cpu, rows, out));
            let (down, up) = (inp as isize, out as isize);

            group.throughput(Throughput::Elements(work));
            group.bench_function("forward own", |bench| bench.iter(|| cpu.matmul(Matmul::new(&x, &w), &mut y)));
            let product =
                Product { extents: (rows, inp, out), a: (x.data(), (down, 1)), b: (w.data(), (1, down)), c: y.data_mut(), add: false };
            crates(&mut group, threads, "forward", product);
            group.bench_function("d_weight own", |bench| {
                bench.iter(|| cpu.matmul_grad(Matmul::new(&x, &w), &dy, MatmulGrad { x: GradOut::Skip, w: &mut dw, bias: None }));
            });
            let product =
                Product { extents: (out, rows, inp), a: (dy.data(), (1, up)), b: (x.data(), (down, 1)), c: dw.data_mut(), add: true };
            crates(&mut group, threads, "d_weight", product);
            group.throughput(Throughput::Elements(2 * work));
            group.bench_function("both gradients own", |bench| {
                bench.iter(|| cpu.matmul_grad(Matmul::new(&x, &w), &dy, MatmulGrad { x: GradOut::Write(&mut dx), w: &mut dw, bias: None }));
            });
            group.throughput(Throughput::Elements(work));
            let product =
                Product { extents: (rows, out, inp), a: (dy.data(), (up, 1)), b: (w.data(), (down, 1)), c: dx.data_mut(), add: false };
            crates(&mut group, threads, "d_input", product);
        }
    }
}

/// Sums all elements, a part per thread, at the speed of memory.
fn read(values: &[f32], threads: usize) -> f32 {
    let add = |part: &[f32]| {
        let mut lanes = [0.0; 64];
        for chunk in part.as_chunks::<64>().0 {
            (0..64).for_each(|i| lanes[i] += chunk[i]);
        }
        lanes.iter().sum::<f32>()
    };
    std::thread::scope(|scope| {
        let parts = values.chunks(values.len().div_ceil(threads)).map(|part| scope.spawn(move || add(part)));
        parts.collect::<Vec<_>>().into_iter().map(|part| part.join().expect("a sum")).sum()
    })
}

fn decoding(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut cpu = Cpu::<f32>::new(Threads::new(threads));
        for (inp, out) in DECODING {
            let mut group = criterion.benchmark_group(format!("weights {out}x{inp}, {threads} threads"));
            group.throughput(Throughput::Bytes(4 * (inp * out) as u64));
            let w = tensor(&mut cpu, out, inp);
            group.bench_function("plain read", |bench| bench.iter(|| read(black_box(w.data()), threads)));
            for rows in [1, 2, 4, 8, 16] {
                let (x, mut y) = (tensor(&mut cpu, rows, inp), tensor(&mut cpu, rows, out));
                group.bench_function(format!("{rows} rows"), |bench| bench.iter(|| cpu.matmul(Matmul::new(&x, &w), &mut y)));
            }
        }
    }
}

criterion_group! {
    name = products;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    targets = training, decoding
}
criterion_main!(products);
