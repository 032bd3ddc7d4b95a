use super::*;
use alloc::{string::ToString, vec};

fn sampler(config: SamplerConfig, vocab_size: usize) -> Sampler {
    Sampler::new(config, vocab_size).unwrap()
}

/// How often each token comes in `n` draws, as a fraction.
fn frequencies(config: SamplerConfig, logits: &[f32], n: usize) -> Vec<f64> {
    let mut sampler = sampler(config, logits.len());
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..n {
        counts[sampler.next(logits).unwrap() as usize] += 1.0 / n as f64;
    }
    counts
}

/// Logits without order: a permutation of probabilities that fall by a constant factor.
fn scattered(n: usize) -> Vec<f32> {
    (0..n).map(|i| -0.03 * (i * 7919 % n) as f32).collect()
}

/// The tokens and probabilities that the filters leave, by the plainest way: sort everything.
fn by_sorting(config: &SamplerConfig, logits: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if config.top_k > 0 {
        order.truncate(config.top_k);
    }
    let max = logits[order[0]];
    let p = |i: usize| f64::from((logits[i] - max) / config.temperature).exp();
    let total: f64 = order.iter().map(|&i| p(i)).sum();
    let mut mass = 0.0;
    let mut kept = Vec::new();
    for &i in &order {
        kept.push(i);
        mass += p(i);
        if config.top_p < 1.0 && mass >= f64::from(config.top_p) * total {
            break;
        }
    }
    kept.retain(|&i| p(i) >= f64::from(config.min_p) * (1.0 - 1e-6));
    let total: f64 = kept.iter().map(|&i| p(i)).sum();
    let mut out = vec![0.0; logits.len()];
    for i in kept {
        out[i] = p(i) / total;
    }
    out
}

#[test]
fn every_combination_of_filters_draws_from_the_distribution_that_sorting_gives() {
    let logits = scattered(300);
    for temperature in [0.7, 2.0] {
        for top_k in [0, 1, 40, 300, 10_000] {
            for top_p in [1.0, 0.9, 0.3] {
                for min_p in [0.0, 0.2] {
                    let config = SamplerConfig { temperature, top_k, top_p, min_p, seed: 3, ..Default::default() };
                    let expected = by_sorting(&config, &logits);
                    let drawn = frequencies(config, &logits, 2000);
                    for (i, (&p, &f)) in expected.iter().zip(&drawn).enumerate() {
                        assert!(p > 0.0 || f == 0.0, "{config:?}: token {i} is filtered out");
                        let deviation = (p * (1.0 - p) / 2000.0).sqrt();
                        assert!((f - p).abs() < 5.0 * deviation + 1e-3, "{config:?}: token {i} came with {f}, not {p}");
                    }
                }
            }
        }
    }
}

#[test]
fn greedy_takes_the_lowest_of_the_likeliest() {
    let greedy = SamplerConfig { temperature: 0.0, ..Default::default() };
    assert_eq!(sampler(greedy, 4).next(&[0.0, 2.0, -1.0, 2.0]), Ok(1));
    let almost = SamplerConfig { temperature: f32::MIN_POSITIVE, ..Default::default() };
    assert_eq!(sampler(almost, 3).next(&[0.0, 1.0, 2.0]), Ok(2));
    let one = SamplerConfig { top_p: 1e-6, ..Default::default() };
    assert_eq!(sampler(one, 3).next(&[0.0, 2.0, 2.0]), Ok(1));
}

#[test]
fn a_draw_is_a_function_of_seed_and_number() {
    let logits = scattered(50);
    let run = |seed: u64| {
        let mut s = sampler(SamplerConfig { seed, ..Default::default() }, 50);
        (0..100).map(|_| s.next(&logits).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1), run(1 + (1 << 32)));
    let mut late = sampler(SamplerConfig { seed: 1, ..Default::default() }, 50);
    late.restore(&SamplerState { draws: 99, recent: vec![] });
    assert_eq!(late.next(&logits).unwrap(), run(1)[99]);
}

#[test]
fn a_restored_sampler_goes_on_as_if_never_stopped() {
    let config = SamplerConfig { repetition_penalty: 1.5, repetition_window: 5, top_k: 20, ..Default::default() };
    let logits = scattered(50);
    let mut whole = sampler(config, 50);
    (0..7).for_each(|token| whole.observe(token));
    for _ in 0..4 {
        whole.next(&logits).unwrap();
    }
    let mut resumed = sampler(config, 50);
    resumed.observe(49);
    resumed.restore(&whole.state());
    assert_eq!(resumed.state(), whole.state());
    for _ in 0..20 {
        assert_eq!(resumed.next(&logits), whole.next(&logits));
    }
}

#[test]
fn the_penalty_falls_once_on_each_recent_token_and_ends_with_the_window() {
    let config = SamplerConfig { temperature: 0.0, repetition_penalty: 2.0, repetition_window: 2, ..Default::default() };
    let mut s = sampler(config, 3);
    s.observe(0);
    s.observe(0);
    assert_eq!(s.next(&[3.0, 1.0, 1.4]), Ok(0), "3 / 2 = 1.5 is still the largest");
    assert_eq!(s.next(&[3.0, 2.0, 1.4]), Ok(1));
    assert_eq!(s.next(&[3.0, 2.0, 1.4]), Ok(0), "token 0 is penalised to 1.5, token 1 to 1.0");
    assert_eq!(s.state().recent, [1, 0]);
    let mut s = sampler(config, 2);
    s.observe(1);
    assert_eq!(s.next(&[-1.5, -1.0]), Ok(0), "-1 * 2 = -2");
    s.observe(1);
    s.observe(1);
    assert_eq!(s.next(&[-1.5, -1.6]), Ok(0), "token 0 has left the window");
}

#[test]
fn broken_logits_are_an_error_and_change_nothing() {
    let mut s = sampler(SamplerConfig { repetition_penalty: 1.1, ..Default::default() }, 3);
    let before = s.state();
    for (logits, word) in [
        ([0.0, f32::NAN, 0.0], "token 1 is NaN"),
        ([0.0, 0.0, f32::INFINITY], "token 2 is inf"),
        ([f32::NEG_INFINITY; 3], "every token is ruled out"),
    ] {
        assert!(s.next(&logits).unwrap_err().to_string().contains(word));
    }
    assert_eq!(s.state(), before);
    s.observe(3);
    for _ in 0..50 {
        assert_eq!(s.next(&[f32::NEG_INFINITY, f32::MIN, f32::NEG_INFINITY]), Ok(1));
        assert_eq!(s.next(&[f32::MIN, f32::MAX, f32::MIN]), Ok(1));
    }
}

#[test]
fn impossible_configurations_are_named() {
    let d = SamplerConfig::default();
    assert!(d.validate().is_ok());
    for (bad, word) in [
        (SamplerConfig { temperature: -0.1, ..d }, "temperature is -0.1"),
        (SamplerConfig { temperature: f32::NAN, ..d }, "temperature is NaN"),
        (SamplerConfig { temperature: f32::INFINITY, ..d }, "temperature is inf"),
        (SamplerConfig { top_p: 0.0, ..d }, "top_p is 0"),
        (SamplerConfig { top_p: 1.1, ..d }, "top_p is 1.1"),
        (SamplerConfig { min_p: f32::NAN, ..d }, "min_p is NaN"),
        (SamplerConfig { min_p: 1.5, ..d }, "min_p is 1.5"),
        (SamplerConfig { repetition_penalty: 0.0, ..d }, "repetition_penalty is 0"),
        (SamplerConfig { repetition_window: usize::MAX, ..d }, "repetition_window is"),
    ] {
        assert!(Sampler::new(bad, 5).unwrap_err().to_string().contains(word), "{bad:?}");
    }
}

#[test]
fn its_buffers_are_those_of_its_construction() {
    let config = SamplerConfig { top_p: 0.9, repetition_penalty: 1.1, repetition_window: 8, ..Default::default() };
    let mut s = sampler(config, 300);
    let buffers = |s: &Sampler| (s.candidates.as_ptr(), s.candidates.capacity(), s.recent.tokens.as_ptr(), s.recent.tokens.capacity());
    let before = buffers(&s);
    for _ in 0..50 {
        s.next(&scattered(300)).unwrap();
    }
    assert_eq!(buffers(&s), before);
}
