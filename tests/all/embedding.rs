//! Vectors of texts: that company, padding and cuts change nothing.

use hh_core::{
    backend::Forward,
    config::Config,
    embed::{Encoder, Form, Options, Pooler, Pooling, normalise},
    model::Model,
};
use hh_cpu::{Cpu, Tensor, Threads};
use hh_tests::model::{config, cpu, hidden, kinds, model, text};

const POOLINGS: [Pooling; 3] = [Pooling::Mean, Pooling::Last, Pooling::Weighted];

fn form(c: &Config, pooling: Pooling) -> Form {
    Form { pooling, dim: c.vector_dim(), normalise: true }
}

/// Texts of these lengths, each another one.
fn texts(c: &Config, lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().zip(1..).map(|(&length, seed)| text(c, seed, length)).collect()
}

fn vectors(b: Cpu<f32>, m: &Model<Tensor<f32>>, options: Options, texts: &[Vec<u32>], form: Form) -> Vec<Vec<f32>> {
    let mut encoder = Encoder::new(b, m, options).expect("an encoder");
    let mut all = vec![0.0; texts.len() * form.dim];
    encoder.encode(texts, form, &mut all).expect("vectors");
    all.chunks(form.dim).map(<[f32]>::to_vec).collect()
}

fn near(a: &[f32], b: &[f32], far: f32, what: &str) {
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && most <= far, "{what}: {most:.1e} apart");
}

/// Every architecture, with a head on half of them.
fn all_kinds() -> Vec<(&'static str, Config)> {
    let mut all = kinds();
    for (i, (_, c)) in all.iter_mut().enumerate() {
        c.pooled_dim = if i % 2 == 0 { 9 } else { 0 };
    }
    all
}

#[test]
fn a_text_has_the_same_vector_alone_as_in_any_batch() {
    let lengths = [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 40, 70, 4, 13, 13, 1];
    for (name, c) in all_kinds() {
        let m = model(&mut cpu::<f32>(1), &c);
        let texts = texts(&c, &lengths);
        for pooling in POOLINGS {
            let form = form(&c, pooling);
            let alone: Vec<_> = texts.iter().flat_map(|t| vectors(cpu(1), &m, Options::default(), std::slice::from_ref(t), form)).collect();
            for tokens in [1, 40, 128, 4096] {
                let together = vectors(cpu(1), &m, Options { tokens, ..Options::default() }, &texts, form);
                for ((alone, together), length) in alone.iter().zip(&together).zip(lengths) {
                    near(alone, together, 1e-5, &format!("{name}, {pooling:?}, {length} tokens in batches of {tokens}"));
                }
            }
        }
    }
}

#[test]
fn a_vector_is_the_pooled_hidden_states_through_the_head() {
    for c in [config(r#""pooled_dim": 9"#), config("")] {
        let mut b = cpu::<f64>(1);
        let exact = model(&mut b, &c);
        let m = model(&mut cpu::<f32>(1), &c);
        let ids = text(&c, 5, 23);
        let states: Vec<f32> = hidden(&mut b, &exact, &ids, 1).into_iter().map(|x| x as f32).collect();
        for pooling in POOLINGS {
            let mut pooler = Pooler::new(pooling, c.width);
            pooler.push(&states);
            let mut wanted = vec![0.0; c.width];
            pooler.take(&mut wanted).expect("23 positions");
            if let Some(w) = &exact.params.pooled {
                wanted = w.data().chunks(c.width).map(|row| row.iter().zip(&wanted).map(|(w, x)| *w as f32 * x).sum()).collect();
            }
            let plain = Form { normalise: false, ..form(&c, pooling) };
            near(&vectors(cpu(1), &m, Options::default(), std::slice::from_ref(&ids), plain)[0], &wanted, 1e-4, "as it comes");
            // Shortened before it is made a unit vector.
            let short = Form { dim: 4, ..form(&c, pooling) };
            normalise(&mut wanted[..4]);
            near(&vectors(cpu(1), &m, Options::default(), std::slice::from_ref(&ids), short)[0], &wanted[..4], 1e-5, "short");
        }
    }
}

#[test]
fn a_long_text_in_chunks_has_the_vector_of_the_whole() {
    // The longest piece is 256 positions; 600 is what the learned positions of these models go to.
    let lengths = [256, 257, 300, 511, 512, 600];
    for (name, c) in all_kinds() {
        let mut b = cpu::<f32>(2);
        let m = model(&mut b, &c);
        for ids in texts(&c, &lengths) {
            let states: Vec<f32> = hidden(&mut b, &m, &ids, 1).into_iter().map(|x| x as f32).collect();
            for pooling in POOLINGS {
                let mut pooler = Pooler::new(pooling, c.width);
                pooler.push(&states);
                let whole = Pooled { c: &c, m: &m }.vector(pooler);
                let found = vectors(Cpu::new(Threads::one()), &m, Options::default(), std::slice::from_ref(&ids), form(&c, pooling));
                near(&found[0], &whole, 2e-5, &format!("{name}, {pooling:?}, {} tokens", ids.len()));
            }
        }
    }
}

/// The head, by hand.
struct Pooled<'a> {
    c: &'a Config,
    m: &'a Model<Tensor<f32>>,
}

impl Pooled<'_> {
    fn vector(&self, mut pooler: Pooler) -> Vec<f32> {
        let mut vector = vec![0.0; self.c.width];
        pooler.take(&mut vector).expect("positions");
        if let Some(w) = &self.m.params.pooled {
            vector = w.data().chunks(self.c.width).map(|row| row.iter().zip(&vector).map(|(w, x)| w * x).sum()).collect();
        }
        normalise(&mut vector);
        vector
    }
}

#[test]
fn a_text_beyond_the_context_goes_on_and_does_not_stop() {
    let c = config(r#""hopfield_width": 0"#);
    let m = model(&mut cpu::<f32>(1), &c);
    let options = Options { context: 16, ..Options::default() };
    let [one, other] = [1, 2].map(|seed| {
        // They differ in their first 20 positions, which attention has forgotten at the end and the recurrences have not.
        let mut ids = text(&c, seed, 20);
        ids.extend(text(&c, 9, 30));
        vectors(cpu(1), &m, options, &[ids], form(&c, Pooling::Last)).remove(0)
    });
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-4), "what stood at the beginning is lost");
}

#[test]
fn what_cannot_be_encoded_is_refused_in_words() {
    fn refused<B: Forward>(encoder: &mut Encoder<B, &Model<B::Tensor>>, ids: &[u32], dim: usize) -> String {
        let form = Form { pooling: Pooling::Mean, dim, normalise: true };
        encoder.encode(&[ids], form, &mut vec![0.0; dim]).unwrap_err().to_string()
    }
    let c = config(r#""positions": "learned", "max_len": 20"#);
    let m = model(&mut cpu::<f32>(1), &c);
    let mut encoder = Encoder::new(cpu::<f32>(1), &m, Options { context: 8, ..Options::default() }).expect("an encoder");
    assert!(refused(&mut encoder, &[], 12).contains("empty text"));
    assert!(refused(&mut encoder, &[1, 13], 12).contains("token 13 is outside of the vocabulary of 13"));
    assert!(refused(&mut encoder, &[1; 21], 12).contains("21 tokens, and this model learned 20"));
    assert!(refused(&mut encoder, &[1], 13).contains("whose vectors have 12"));
    // The last piece of a text may not be padded beyond the table.
    encoder.encode(&[[1; 20]], form(&c, Pooling::Mean), &mut [0.0; 12]).expect("as many as it learned");
    for options in [Options { context: 0, ..Options::default() }, Options { tokens: 0, ..Options::default() }] {
        assert!(Encoder::new(cpu::<f32>(1), &m, options).is_err());
    }
}
