//! Arrays at the edges of the library are the slices that they stand for.

use hh_core::{
    arrays::write_arrays,
    checkpoint::{Checkpoint, Dtype},
    config::Config,
    embed::{Pooler, Pooling},
    model::{Model, shapes},
    session::{Options, Session},
    shape::Shaped,
};
use hh_cpu::{Cpu, Threads};
use ndarray::{Array2, ArrayD, Axis, Dimension, s};

fn config() -> Config {
    Config::from_json(
        r#"{"vocab_size": 11, "width": 8, "layers": 2, "ffn": 8, "head_dim": 4, "ssm_width": 8, "hopfield_width": 8,
            "attention_width": 8, "hopfield_depths": [2, 1], "hopfield_slots": 2, "mixer_hidden": 4, "segments": 1}"#,
    )
    .expect("a model")
}

fn cpu() -> Cpu<f32> {
    Cpu::new(Threads::one())
}

#[test]
fn logits_and_hidden_states_are_the_slices_by_another_name() {
    let model = Model::init(&mut cpu(), config(), 1).expect("memory");
    let options = Options { batch: 2, context: 16, chunk: 4, ..Options::default() };
    let session = || Session::new(cpu(), &model, options).expect("memory");
    // Seven positions: chunks of four, two and one.
    let tokens: Vec<u32> = (0..14).map(|i| i * 5 % 11).collect();
    let mut whole = session();
    let hidden = whole.hidden_array(&tokens).expect("ids of the vocabulary");
    assert_eq!(hidden.shape(), [2, 7, 8]);
    let mut stepping = session();
    for t in 0..7 {
        let mut one = Vec::new();
        stepping.hidden(&[tokens[t], tokens[7 + t]], |chunk| one.extend_from_slice(chunk)).expect("ids of the vocabulary");
        let there = hidden.slice(s![.., t, ..]);
        assert!(there.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5), "position {t}");
    }
    let mut session = session();
    let logits = session.prefill(&tokens).expect("ids of the vocabulary").to_vec();
    assert_eq!(session.logits_array().shape(), [2, 11]);
    assert_eq!(session.logits_array().row(1).to_vec(), logits[11..]);

    let pooled = |push: &dyn Fn(&mut Pooler)| {
        let mut pooler = Pooler::new(Pooling::Weighted, 8);
        push(&mut pooler);
        pooler.finish(8).expect("seven positions")
    };
    let row = hidden.index_axis(Axis(0), 1);
    let columns_first = row.t().as_standard_layout().into_owned().reversed_axes();
    assert!(columns_first.row(0).as_slice().is_none(), "another layout");
    let plain = pooled(&|p| p.push(row.as_slice().expect("row by row")));
    assert_eq!(pooled(&|p| p.push_array(row)), plain);
    assert_eq!(pooled(&|p| p.push_array(columns_first.view())), plain);
}

#[test]
fn tensors_go_through_a_checkpoint_as_arrays() {
    let c = config();
    let tensors: Vec<(String, ArrayD<f32>)> = shapes(&c)
        .into_iter()
        .map(|(name, shape)| (name, ArrayD::from_shape_fn(shape.dims(), |at| at.slice().iter().fold(1.0, |x, &i| x * 0.5 + i as f32))))
        .collect();
    // One of them column by column: what is written is what it says, not how it lies.
    let turned = |a: &ArrayD<f32>| if a.ndim() == 2 { a.t().as_standard_layout().into_owned().reversed_axes() } else { a.clone() };
    let lying: Vec<_> = tensors.iter().map(|(name, array)| (name.as_str(), turned(array))).collect();
    let write = |dtype| write_arrays(&c, &Default::default(), lying.iter().map(|(name, a)| (*name, a.view())), dtype);
    let bytes = write(Dtype::F32).expect("finite numbers");
    let checkpoint = Checkpoint::parse(&bytes).expect("a checkpoint");
    for (name, array) in &tensors {
        assert_eq!(checkpoint.array(name).expect("it is there"), *array, "{name}");
    }
    assert!(checkpoint.array("nothing").unwrap_err().to_string().contains("nothing is missing"));
    let model = Model::from_checkpoint(&mut cpu(), &checkpoint).expect("all tensors");
    assert_eq!(model.params.embedding.table.shape().dims(), checkpoint.array("embed.weight").expect("it is there").shape());
}

#[test]
fn an_array_that_no_tensor_can_be_is_refused() {
    let write = |array: ArrayD<f32>| {
        write_arrays(&config(), &Default::default(), [("odd", array.view())], Dtype::F32).map(drop).unwrap_err().to_string()
    };
    assert!(write(ArrayD::zeros(vec![1, 1, 1, 1])).contains("odd has shape [1, 1, 1, 1]"));
    assert!(write(ArrayD::zeros(vec![])).contains("one to three"));
    assert!(write(Array2::from_elem((2, 2), f32::NAN).into_dyn()).contains("NaN"));
}
