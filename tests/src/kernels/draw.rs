//! Random numbers: `uniform` and `normal` are the generator's, on the processor to the last bit.

use super::prelude::*;
use hh_core::rng;

/// Numbers uniform on `[0, 1)`.
#[derive(Debug)]
pub struct Uniform(pub Shape);

/// Standard normal numbers.
#[derive(Debug)]
pub struct Normal(pub Shape);

const KEY: [u32; 4] = [9, u32::MAX, 1 << 31, 6];

fn shapes() -> Vec<Shape> {
    SIZES.map(|[batch, time]| Shape::cube(batch, time, 9)).into()
}

fn counts() -> Vec<Shape> {
    [1, 3, 4, 63, 70_001].map(Shape::vector).into()
}

macro_rules! draw {
    ($case:ident, $kernel:ident, $site:literal) => {
        impl Case for $case {
            fn cases() -> Vec<Self> {
                shapes().into_iter().map(Self).collect()
            }
            fn large() -> Vec<Self> {
                counts().into_iter().map(Self).collect()
            }
            fn bench() -> Vec<Self> {
                vec![Self(Shape::cube(8, 256, 256))]
            }
            fn inputs(&self) -> Vec<Input> {
                Vec::new()
            }
            fn outputs(&self) -> Vec<Output> {
                vec![Output::new("y", self.0)]
            }
            fn tolerance(&self) -> f64 {
                0.0
            }
            fn tolerance_f64(&self) -> f64 {
                0.0
            }
            fn formula(&self, _: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
                vec![(0..self.0.count()).map(|i| f64::from(rng::$kernel(KEY, $site, i as u32))).collect()]
            }
            fn forward<B: Testable>(&self, d: &mut Desk<B>, _: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
                let key = d.indices(Shape::vector(4), &KEY);
                d.b.$kernel(ops::Draw { key: &key, site: $site }, y[0].whole_mut());
            }
        }
    };
}

draw!(Uniform, uniform, 3);
draw!(Normal, normal, 4);
