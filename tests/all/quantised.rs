//! A whole model whose matrices are in blocks, beside the same weights as numbers.

use hh_core::{
    checkpoint::{Checkpoint, Metadata, Stored, write},
    config::Config,
    model::{Model, shapes},
    quant::Format,
    session::{Options, Session},
};
use hh_cpu::{Cpu, Float, Level, Tensor, Threads};
use hh_tests::{
    compare::distance,
    model::{config, cpu, disturbed, text},
};

/// Everything at once, and wide enough for blocks, the last of a row in part.
fn wide() -> Config {
    config(
        r#""width": 40, "embed_dim": 36, "ffn": 70, "ssm_width": 48, "hopfield_width": 8, "attention_width": 8, "mixer_hidden": 33,
            "controller_width": 34, "flow_hidden": 0"#,
    )
}

fn file(c: &Config, format: Format) -> Vec<u8> {
    let tensors: Vec<_> = shapes(c)
        .into_iter()
        .map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            disturbed(&name, shape, c, &mut values);
            (name, shape, values)
        })
        .collect();
    write(c, &Metadata::new(), tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), Stored::Quantised(format)).expect("a checkpoint")
}

const TIME: usize = 21;

/// The logits after each of some cuts of one text.
fn logits<F: Float>(cpu: Cpu<F>, model: &Model<Tensor<F>>, cuts: &[usize]) -> Vec<f64>
where
    Cpu<F>: hh_core::backend::Forward<Tensor = Tensor<F>>,
{
    let mut session = Session::new(cpu, model, Options { context: 16, chunk: 8, ..Options::default() }).expect("a session");
    let tokens = text(&model.config, 3, TIME);
    let (mut all, mut from) = (Vec::new(), 0);
    for &to in cuts {
        all.extend(session.prefill(&tokens[from..to]).expect("no device to lose").iter().map(|&l| f64::from(l)));
        from = to;
    }
    all
}

#[test]
fn a_model_in_blocks_is_that_of_their_numbers_wherever_its_text_is_cut() {
    let c = wide();
    for format in [Format::Q8, Format::Q4] {
        let bytes = file(&c, format);
        let checkpoint = Checkpoint::parse(&bytes).expect("a checkpoint");
        // As numbers, in f64: every tensor through `read`, which widens.
        let mut exact = cpu::<f64>(1);
        let params = hh_core::weights::params(&mut exact, &c, hh_core::backend::Precision::Full, |n, s, out| checkpoint.read(n, s, out));
        let numbers = Model { config: c.clone(), params: params.expect("memory") };
        let cuts: Vec<usize> = (1..=TIME).collect();
        let wanted = logits(exact, &numbers, &cuts);

        let mut b = cpu::<f32>(2);
        let blocks = Model::from_checkpoint(&mut b, &checkpoint).expect("a model");
        let found = logits(b, &blocks, &cuts);
        let far = distance(&found, &wanted, 1e-3);
        assert!(far < 1e-3, "{format:?}: {far:.1e} away from the model of numbers");

        let last = &found[found.len() - c.vocab_size..];
        for cuts in [&[TIME][..], &[5, 6, TIME], &[16, TIME]] {
            let mut b = cpu::<f32>(1);
            let model = Model::from_checkpoint(&mut b, &checkpoint).expect("a model");
            let cut = logits(b, &model, cuts);
            let far = distance(&cut[cut.len() - c.vocab_size..], last, 1e-3);
            assert!(far < 1e-4, "{format:?} cut at {cuts:?}: {far:.1e}");
        }
    }
}

#[test]
fn weights_read_where_they_lie_give_the_same_bits() {
    let c = wide();
    let bytes: &'static [u8] = file(&c, Format::Q8).leak();
    let checkpoint = Checkpoint::parse(bytes).expect("a checkpoint");
    let run = |in_place: bool| {
        let mut b = Cpu::<f32>::with_level(Threads::one(), Level::baseline());
        let model = if in_place { Model::in_place(&mut b, &checkpoint) } else { Model::from_checkpoint(&mut b, &checkpoint) };
        logits(b, &model.expect("a model"), &[4, 9, TIME])
    };
    assert!(run(true) == run(false));

    // What is stored as f32 lies there, too.
    let model = Model::in_place(&mut Cpu::<f32>::new(Threads::one()), &checkpoint).expect("a model");
    assert!(bytes.as_ptr_range().contains(&model.params.norm.data().as_ptr().cast()));
}

#[test]
#[should_panic(expected = "read in place")]
fn weights_read_where_they_lie_are_not_written() {
    let bytes: &'static [u8] = file(&wide(), Format::Q8).leak();
    let checkpoint = Checkpoint::parse(bytes).expect("a checkpoint");
    let mut model = Model::in_place(&mut Cpu::<f32>::new(Threads::one()), &checkpoint).expect("a model");
    model.params.norm.data_mut()[0] = 1.0;
}

#[test]
#[should_panic(expected = "cannot be trained")]
fn weights_in_blocks_are_not_written() {
    let mut b = cpu::<f32>(1);
    let bytes = file(&wide(), Format::Q8);
    let mut model = Model::from_checkpoint(&mut b, &Checkpoint::parse(&bytes).expect("a checkpoint")).expect("a model");
    model.params.embedding.table.data_mut()[0] = 1.0;
}
