//! Tests of internals. The kernel suite in `tests/` compares every kernel and gradient with the CPU backend's.

use crate::{
    Compute, DeviceError, DeviceKind, Indices, Tch, draw,
    replay::replay,
    scan::{recurrence, recurrence_after},
    value::Value,
};
use hh_core::{
    backend::{Backward, Device, Precision},
    ops::{Draw, GradOut, Matmul, MatmulGrad},
    rng,
    shape::Shape,
};
use tch::{Kind, TchError, Tensor};

fn cpu() -> Tch {
    Tch::new(DeviceKind::Cpu, Compute::F64).expect("every libtorch supports the CPU")
}

fn random(shape: &[i64]) -> Value {
    Value::of(Tensor::f_rand(shape, (Kind::Double, tch::Device::Cpu)))
}

fn numbers(value: &Value) -> Vec<f64> {
    Vec::try_from(value.flat().to(Kind::Double).get().expect("a value")).expect("numbers")
}

#[test]
fn the_gradients_of_a_product_equal_autograd() {
    let mut b = cpu();
    let mut random = |shape| {
        let mut t = b.alloc(shape, Precision::Full).expect("memory");
        t.inner = Tensor::rand(t.inner.size(), (Kind::Double, tch::Device::Cpu));
        t
    };
    let (x, w, bias, dy) =
        (random(Shape::cube(2, 3, 4)), random(Shape::matrix(5, 4)), random(Shape::vector(5)), random(Shape::cube(2, 3, 5)));
    let [mut dx, mut dw, mut d_bias] =
        [Shape::cube(2, 3, 4), Shape::matrix(5, 4), Shape::vector(5)].map(|s| b.alloc(s, Precision::Full).expect("memory"));
    let op = Matmul { x: &x, w: &w, bias: Some(&bias), add: None };
    b.matmul_grad(op, &dy, MatmulGrad { x: GradOut::Write(&mut dx), w: &mut dw, bias: Some(&mut d_bias) });
    let replayed = replay([&x.value(), &w.matrix(), &bias.vector()], &dy.value(), |[x, w, bias]| x.linear(w, Some(bias)));
    for (found, wanted) in [dx, dw, d_bias].iter().zip(&replayed) {
        let wanted = numbers(wanted);
        assert!(found.numbers().expect("no device to lose").iter().zip(&wanted).all(|(f, w)| (f - w).abs() < 1e-12));
    }
}

#[test]
fn the_parallel_scan_equals_the_loop() {
    for time in [1i64, 2, 3, 5, 8, 13, 64, 100] {
        let [a, b] = [random(&[2, time, 3]), random(&[2, time, 3])];
        let before = random(&[2, 3]);
        let (found, after) = (recurrence(&a, &b, time as usize), recurrence_after(&before, &a, &b, time as usize));
        let row = |of: &Value, t: i64| of.part(1, t as usize, 1).map(|x| x.f_squeeze_dim(1));
        let (mut h, mut h_after) = (before.scaled(0.0), before.clone());
        for t in 0..time {
            h = row(&b, t).plus_product(&row(&a, t), &h);
            h_after = row(&b, t).plus_product(&row(&a, t), &h_after);
            for (found, wanted) in [(&found, &h), (&after, &h_after)] {
                let far = numbers(&row(found, t).minus(wanted)).into_iter().fold(0.0, |far: f64, x| far.max(x.abs()));
                assert!(far < 1e-12, "{time} positions, at {t}: {far:e}");
            }
        }
    }
}

/// Runs the path of other devices on the CPU.
#[test]
fn random_words_in_torch_equal_philox() {
    let b = cpu();
    for key in [[0; 4], [7, 0, 3, 0], [u32::MAX, 1 << 31, 0x8000_0001, u32::MAX]] {
        for (site, count) in [(0, 1), (5, 4), (u32::MAX, 103)] {
            let words = draw::words(&b, &Value::share(&Tensor::from_slice(&key.map(i64::from))), site, count);
            let wanted: Vec<f64> = (0..count as u32).map(|i| f64::from(rng::block(key, site, i / 4)[i as usize % 4])).collect();
            assert_eq!(numbers(&words), wanted, "{key:?}, {site}, {count}");
            let normal = draw::normal_on_device(&b, &Value::share(&Tensor::from_slice(&key.map(i64::from))), site, count);
            for (i, x) in numbers(&normal).into_iter().enumerate() {
                let wanted = f64::from(rng::normal(key, site, i as u32));
                assert!((x - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "normal {i}: {x}, {wanted}");
            }
        }
    }
}

#[test]
fn random_numbers_on_the_host_do_not_depend_on_threads() {
    let mut b = cpu();
    let mut key: Indices = b.alloc_indices(Shape::vector(4)).expect("memory");
    b.upload_indices(&[3, 4, 5, 6], &mut key).expect("no device to lose");
    let count = 100_003;
    let found = numbers(&draw::uniform(&b, Draw { key: &key, site: 9 }, count));
    assert!((0..count).step_by(997).all(|i| found[i] == f64::from(rng::uniform([3, 4, 5, 6], 9, i as u32))));
}

#[test]
fn the_first_error_of_a_kernel_is_returned_by_the_next_download() {
    let mut b = cpu();
    let [mut x, mut y] = [(); 2].map(|()| b.alloc(Shape::vector(3), Precision::Full).expect("memory"));
    b.put(&Value::failed(DeviceError::OutOfMemory), &mut x);
    b.copy(&x, &mut y);
    b.put(&x.value().plus(&random(&[7])), &mut y);
    let mut host = [0.0; 3];
    assert!(matches!(b.download(&y, &mut host), Err(DeviceError::OutOfMemory)), "the first one");
    b.download(&y, &mut host).expect("the error is returned once");
}

#[test]
fn errors_of_libtorch_become_one_sentence() {
    let error = |text: &str| DeviceError::from(TchError::Torch(text.to_owned()));
    for text in [
        "CUDA out of memory. Tried to allocate 20.00 MiB\nException raised from malloc",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "MPS backend out of memory",
    ] {
        assert!(matches!(error(text), DeviceError::OutOfMemory), "{text}");
    }
    let lost = error("\nCUDA error: unspecified launch failure.\n#0 frame").to_string();
    assert!(lost.contains("unspecified launch failure") && !lost.contains('\n') && !lost.contains("frame"), "{lost}");
    let absent = Tch::new(DeviceKind::Cuda(99), Compute::F32).map(drop).expect_err("no system has 100 GPUs").to_string();
    assert!(absent.contains("cuda:99") && absent.contains("cpu"), "{absent}");
}
