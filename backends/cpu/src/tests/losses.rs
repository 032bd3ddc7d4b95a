use super::*;
use crate::{cross_entropy, flow_point, squared_error};
use hh_core::ops::*;

/// Inputs x and table; the output is the scalar that is differentiated.
struct Entropy {
    rows: usize,
    width: usize,
    vocab: usize,
    chunk: usize,
    scored: fn(usize) -> bool,
}

/// Which rows have a target: all, most, few, and the last of long runs.
const SCORED: [fn(usize) -> bool; 4] = [|_| true, |row| row % 7 != 3, |row| row % 16 == 2, |row| row % 30 > 26];

const SMOOTHING: f32 = 0.125;
const Z_WEIGHT: f32 = 0.0625;

impl Entropy {
    fn targets(&self) -> Vec<u32> {
        (0..self.rows).map(|i| if (self.scored)(i) { (i * 31 % self.vocab) as u32 } else { IGNORE }).collect()
    }

    /// nll, z and smooth of each row
    fn losses(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let row = |(r, &target): (usize, &u32)| {
            if target == IGNORE {
                return [0.0; 3];
            }
            let logit = |v: usize| (0..self.width).map(|e| x[0][r * self.width + e] * x[1][v * self.width + e]).sum::<f64>();
            let logits: Vec<f64> = (0..self.vocab).map(logit).collect();
            let lse = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
            [lse - logits[target as usize], lse * lse, lse - logits.iter().sum::<f64>() / self.vocab as f64]
        };
        self.targets().iter().enumerate().flat_map(row).collect()
    }

    /// `scale` is chosen so that the harness's one `dy` is what is differentiated.
    fn run<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], scale: f32, d: Option<&mut [Tensor<F>]>) -> Tensor<F> {
        let targets = indices(Shape::matrix(1, self.rows), &self.targets());
        let op = CrossEntropy { x: &x[0], table: &x[1], targets: &targets, smoothing: SMOOTHING, z_weight: Z_WEIGHT, scale };
        let mut scratch = filled(Shape::matrix(self.chunk, self.vocab), f64::NAN);
        let mut losses = filled(Shape::matrix(self.rows, 3), f64::NAN);
        match d {
            None => cross_entropy::forward(cpu, op, &mut scratch, &mut losses),
            Some([dx, table]) => cross_entropy::backward(cpu, op, &mut scratch, &mut losses, CrossEntropyGrad { x: dx, table }),
            Some(_) => panic!("two gradients"),
        }
        losses
    }
}

impl Case for Entropy {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.rows, self.width), Shape::matrix(self.vocab, self.width)]
    }
    fn output(&self) -> Shape {
        Shape::vector(1)
    }
    fn adds(&self, input: usize) -> bool {
        input == 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        vec![mean(&self.losses(x), self.targets().iter().filter(|&&t| t != IGNORE).count())]
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let losses: Vec<f64> = self.run(cpu, x, 1.0, None).data().iter().map(|l| l.to_f64()).collect();
        y.data_mut()[0] = F::of(mean(&losses, self.targets().iter().filter(|&&t| t != IGNORE).count()));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let losses = self.run(cpu, x, dy.data()[0].to_f32(), Some(d));
        assert_eq!(losses.data(), self.run(cpu, x, 1.0, None).data(), "losses with and without gradient");
    }
}

fn mean(losses: &[f64], scored: usize) -> f64 {
    let row = |l: &[f64]| (1.0 - f64::from(SMOOTHING)) * l[0] + f64::from(Z_WEIGHT) * l[1] + f64::from(SMOOTHING) * l[2];
    losses.chunks(3).map(row).sum::<f64>() / scored.max(1) as f64
}

#[test]
fn cross_entropy_is_its_formula_in_chunks_of_any_size() {
    for (rows, width, vocab, chunk) in [(1, 3, 5, 1), (3, 1, 63, 8), (63, 65, 65, 17), (65, 17, 500, 65), (17, 63, 3, 4)] {
        for scored in SCORED {
            let case = Entropy { rows, width, vocab, chunk, scored };
            check(&case);
            let inputs: Vec<_> = case.inputs().into_iter().enumerate().map(|(i, s)| numbers(i as u32, s)).collect();
            let x: Vec<_> = case.inputs().into_iter().zip(&inputs).map(|(s, x)| tensor::<f64>(s, x)).collect();
            close("losses", case.run(&mut Cpu::new(Threads::one()), &x, 1.0, None).data(), &case.losses(&inputs), 1e-13);
        }
    }
}

/// The gradient of every row, scored or not, and of the whole table, against the formula's by hand in f64.
#[test]
fn among_many_rows_that_are_not_scored_the_others_keep_their_places() {
    for chunk in [1, 3, 64] {
        let case = Entropy { rows: 130, width: 5, vocab: 40, chunk, scored: |row| row % 16 == 2 || row == 129 };
        let inputs: Vec<_> = case.inputs().into_iter().enumerate().map(|(i, s)| numbers(i as u32, s)).collect();
        let x: Vec<_> = case.inputs().into_iter().zip(&inputs).map(|(s, x)| tensor::<f64>(s, x)).collect();
        let targets = case.targets();
        let scored = targets.iter().filter(|&&t| t != IGNORE).count() as f64;
        let (mut dx, mut d_table) = (vec![0.0; 130 * 5], vec![0.0; 40 * 5]);
        for (row, &target) in targets.iter().enumerate().filter(|&(_, &t)| t != IGNORE) {
            let logits: Vec<f64> = (0..40).map(|v| (0..5).map(|e| inputs[0][row * 5 + e] * inputs[1][v * 5 + e]).sum()).collect();
            let lse = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
            for (v, logit) in logits.iter().enumerate() {
                let (smoothing, z_weight) = (f64::from(SMOOTHING), f64::from(Z_WEIGHT));
                let hit = if v == target as usize { 1.0 } else { 0.0 };
                let likely = (1.0 + 2.0 * z_weight * lse) * (logit - lse).exp();
                let slope = (likely - (1.0 - smoothing) * hit - smoothing / 40.0) / scored;
                for e in 0..5 {
                    dx[row * 5 + e] += slope * inputs[1][v * 5 + e];
                    d_table[v * 5 + e] += slope * inputs[0][row * 5 + e];
                }
            }
        }
        let mut d = [filled::<f64>(Shape::matrix(130, 5), f64::NAN), filled(Shape::matrix(40, 5), 0.0)];
        case.run(&mut Cpu::new(Threads::one()), &x, 1.0, Some(&mut d));
        close("dx", d[0].data(), &dx, 1e-12);
        close("d_table", d[1].data(), &d_table, 1e-12);
        let ignored = targets.iter().enumerate().filter(|&(_, &t)| t == IGNORE);
        assert!(ignored.flat_map(|(row, _)| &d[0].data()[row * 5..][..5]).all(|&g| g == 0.0));
    }
}

#[test]
fn nothing_scored_is_no_loss_and_no_gradient() {
    let targets = indices(Shape::matrix(1, 2), &[IGNORE; 2]);
    let (x, table) = (filled::<f32>(Shape::matrix(2, 3), 1.0), filled(Shape::matrix(4, 3), 1.0));
    let op = CrossEntropy { x: &x, table: &table, targets: &targets, smoothing: 0.1, z_weight: 0.1, scale: 1.0 };
    let (mut scratch, mut losses) = (filled(Shape::matrix(2, 4), f64::NAN), filled(Shape::matrix(2, 3), f64::NAN));
    let (mut dx, mut d_table) = (filled(Shape::matrix(2, 3), f64::NAN), filled(Shape::matrix(4, 3), 1.0));
    let d = CrossEntropyGrad { x: &mut dx, table: &mut d_table };
    cross_entropy::backward(&mut Cpu::new(Threads::one()), op, &mut scratch, &mut losses, d);
    assert!(losses.data() == [0.0; 6] && dx.data() == [0.0; 6] && d_table.data() == [1.0; 12]);
}

/// Input x; the output is each row's mean, so that the mean of the outputs is the loss.
struct Squared(usize, usize);

impl Squared {
    fn run<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], scale: f32, losses: &mut Tensor<F>, dx: &mut Tensor<F>) {
        let shape = Shape::matrix(self.0, self.1);
        let goal = tensor(shape, &numbers(20, shape));
        squared_error::forward(cpu, SquaredError { x: &x[0], goal: &goal, scale }, losses, dx);
    }
}

impl Case for Squared {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.0, self.1)]
    }
    fn output(&self) -> Shape {
        Shape::vector(1)
    }
    fn adds(&self, _: usize) -> bool {
        false
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let goal = numbers(20, Shape::matrix(self.0, self.1));
        vec![x[0].iter().zip(&goal).map(|(x, g)| (x - g) * (x - g)).sum::<f64>() / goal.len() as f64]
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let (mut losses, mut dx) = (filled(Shape::matrix(self.0, 1), f64::NAN), filled(Shape::matrix(self.0, self.1), f64::NAN));
        self.run(cpu, x, 1.0, &mut losses, &mut dx);
        y.data_mut()[0] = F::of(losses.data().iter().map(|l| l.to_f64()).sum::<f64>() / self.0 as f64);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let mut losses = filled(Shape::matrix(self.0, 1), f64::NAN);
        self.run(cpu, x, dy.data()[0].to_f32(), &mut losses, &mut d[0]);
    }
}

#[test]
fn squared_error_is_its_formula_at_any_extents() {
    for rows in AWKWARD {
        for width in AWKWARD {
            check(&Squared(rows, width));
        }
    }
}

#[test]
fn flow_points_lie_on_the_path_from_noise_to_the_target() {
    for width in AWKWARD {
        let shapes = [Shape::matrix(5, width), Shape::cube(1, 3, width), Shape::cube(1, 3, 1)];
        let [table, noise, time] = [0, 1, 2].map(|i| numbers(i as u32, shapes[i]));
        let targets = [4, IGNORE, 0];
        let (mut point, mut velocity) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
        for r in [0, 2] {
            let goal = &table[targets[r] as usize * width..][..width];
            let scale = (width as f64).sqrt() / (goal.iter().map(|g| g * g).sum::<f64>() + 1e-6).sqrt();
            for i in 0..width {
                let (n, tau) = (noise[r * width + i], time[r]);
                point[r * width + i] = (1.0 - tau) * n + tau * scale * goal[i];
                velocity[r * width + i] = scale * goal[i] - n;
            }
        }
        let (targets, [table, noise, time]) =
            (indices(Shape::matrix(1, 3), &targets), [(&table, 0), (&noise, 1), (&time, 2)].map(|(x, i)| tensor::<f64>(shapes[i], x)));
        let [mut p, mut v] = [f64::NAN; 2].map(|nan| filled(shapes[1], nan));
        let op = FlowPoint { targets: &targets, table: &table, noise: &noise, time: &time };
        flow_point::forward(&mut Cpu::new(Threads::new(2)), op, &mut p, &mut v);
        close("point", p.data(), &point, 1e-14);
        close("velocity", v.data(), &velocity, 1e-14);
    }
}
