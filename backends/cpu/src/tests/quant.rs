//! Products and embeddings of block-quantised weights, compared with the same weights widened.

use super::*;
use hh_core::{
    backend::Forward,
    ops::{Embed, Matmul},
    quant::Format,
};

/// Weights `[out, inp]` in blocks, and the same as numbers.
fn weights<F: Float>(cpu: &mut Cpu<F>, format: Format, [out, inp]: [usize; 2]) -> [Tensor<F>; 2] {
    let values: Vec<f32> = numbers(1, Shape::matrix(out, inp)).iter().map(|&x| x as f32).collect();
    let made = format.quantise(&values, inp);
    let blocks = cpu.upload_quantised(made.blocks()).expect("memory");
    let mut widened = vec![0.0; out * inp];
    cpu.download(&blocks, &mut widened).expect("no device to lose");
    let widened: Vec<f64> = widened.into_iter().map(f64::from).collect();
    [blocks, tensor(Shape::matrix(out, inp), &widened)]
}

fn product<F: Float>(cpu: &mut Cpu<F>, x: &[f64], w: &Tensor<F>, rows: usize) -> Vec<f64> {
    let [_, out, inp] = w.shape().extents();
    let (x, bias) = (tensor(Shape::matrix(rows, inp), x), tensor(Shape::vector(out), &numbers(3, Shape::vector(out))));
    let add = tensor(Shape::matrix(rows, out), &numbers(4, Shape::matrix(rows, out)));
    let mut y = filled(Shape::matrix(rows, out), f64::NAN);
    cpu.matmul(Matmul { x: &x, w, bias: Some(&bias), add: Some(&add) }, &mut y);
    y.data().iter().map(|y| y.to_f64()).collect()
}

#[test]
fn a_product_with_blocks_is_that_with_their_numbers_but_for_the_rounding_of_x() {
    for format in [Format::Q8, Format::Q4] {
        for rows in [1, 2, 3, 4, 5, 9, 12, 16, 31, 65] {
            for (inp, out) in [(1, 3), (31, 5), (32, 1), (33, 17), (500, 63), (256, 600)] {
                let x = numbers(2, Shape::matrix(rows, inp));
                let exact = {
                    let mut cpu = Cpu::<f64>::new(Threads::one());
                    let [_, w] = weights(&mut cpu, format, [out, inp]);
                    product(&mut cpu, &x, &w, rows)
                };
                let mut first = None;
                for (level, threads) in [(Level::detect(), 1), (Level::detect(), 2), (Level::baseline(), 1)] {
                    let mut cpu = Cpu::<f32>::with_level(Threads::new(threads), level);
                    let [w, _] = weights(&mut cpu, format, [out, inp]);
                    let y = product(&mut cpu, &x, &w, rows);
                    close("product", &y, &exact, 1.5e-4);
                    assert!(*first.get_or_insert(y.clone()) == y, "other bits on {} with {threads} threads", level.name());
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_bits_that_it_has_alone() {
    let (inp, out) = (1000, 37);
    for format in [Format::Q8, Format::Q4] {
        let mut first = None;
        for level in Level::all() {
            let mut cpu = Cpu::<f32>::with_level(Threads::new(2), level);
            let [w, _] = weights(&mut cpu, format, [out, inp]);
            let x = numbers(2, Shape::matrix(70, inp));
            let mut run = |x: &[f64], rows: usize| {
                let (x, mut y) = (tensor(Shape::matrix(rows, inp), x), filled(Shape::matrix(rows, out), f64::NAN));
                cpu.matmul(Matmul::new(&x, &w), &mut y);
                y.data().to_vec()
            };
            let alone: Vec<Vec<f32>> = x.chunks_exact(inp).map(|x| run(x, 1)).collect();
            assert!(*first.get_or_insert(alone.clone()) == alone, "other bits on {}", level.name());
            for rows in (1..=18).chain([31, 32, 33, 70]) {
                let all = run(&x[..rows * inp], rows);
                assert!(all == alone[..rows].concat(), "{format:?}, {rows} rows, {}", level.name());
            }
        }
    }
}

#[test]
fn the_rounding_of_x_follows_each_block() {
    // One block of ordinary numbers beside one of huge ones whose weights are zero: a scale for the whole row would lose the first.
    let mut cpu = Cpu::<f32>::new(Threads::one());
    let w: Vec<f32> = (0..64).map(|i| if i < 32 { 1.0 } else { 0.0 }).collect();
    let w = cpu.upload_quantised(Format::Q8.quantise(&w, 64).blocks()).expect("memory");
    let x: Vec<f64> = (0..64).map(|i| if i < 32 { 1e-3 } else { 1e6 }).collect();
    let y = product(&mut cpu, &x, &w, 1)[0] - numbers(3, Shape::vector(1))[0] - numbers(4, Shape::matrix(1, 1))[0];
    assert!((y - 0.032).abs() < 1e-5, "{y}");
}

#[test]
fn what_is_not_finite_stays_so_and_tiny_numbers_do_no_harm() {
    let mut cpu = Cpu::<f32>::new(Threads::one());
    let [w, _] = weights(&mut cpu, Format::Q8, [7, 40]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, 39] {
            let mut x = vec![0.5; 80];
            x[at] = bad;
            let y = product(&mut cpu, &x, &w, 2);
            assert!(y[..7].iter().all(|y| y.is_nan()) && y[7..].iter().all(|y| y.is_finite()), "{bad} at {at}: {y:?}");
        }
    }
    let y = product(&mut cpu, &[1e-42; 40], &w, 1);
    assert!(y.iter().all(|y| y.is_finite()));
}

#[test]
fn an_embedding_in_blocks_is_its_numbers() {
    for (format, width) in [(Format::Q8, 70), (Format::Q4, 70), (Format::Q4, 32), (Format::Q8, 1)] {
        let mut cpu = Cpu::<f32>::new(Threads::new(2));
        let tables = weights(&mut cpu, format, [9, width]);
        let tokens = indices(Shape::matrix(2, 3), &[8, 0, 3, 3, 7, 1]);
        let [blocks, numbers] = tables.map(|table| {
            let mut y = filled(Shape::cube(2, 3, width), f64::NAN);
            cpu.embed(Embed { tokens: &tokens, table: &table }, &mut y);
            y.data().to_vec()
        });
        assert_eq!(blocks, numbers);
    }
}
