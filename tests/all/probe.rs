//! Knock-outs against models that lack the part, made by another way than the probe's.

use hh_core::{backend::Precision, config::Config, layers::block, model::Model, tokenizer::Chars, weights};
use hh_cpu::Tensor;
use hh_runtime::{
    data::{TokenStream, Windows},
    evaluate::Evaluator,
    probe::{Change, Findings, Group, Options, Row, knockouts, probe},
};
use hh_tests::model::{config, cpu, disturbed, kinds, model, text};

const CONTEXT: usize = 11;
const OPTIONS: Options = Options { context: CONTEXT, batch: 2, segments: None, seed: 1, layers: true };

/// Three windows and a half.
fn stream(c: &Config) -> TokenStream {
    TokenStream::from_ids(&text(c, 4, 3 * CONTEXT + 6), c.vocab_size)
}

/// What every knock-out of a model's whole costs on a device.
#[cfg(feature = "cuda")]
pub(crate) fn rows<B: hh_core::backend::Forward>(mut b: B) -> Vec<(String, f64)> {
    let mut model = model(&mut b, &config(""));
    let options = Options { layers: false, ..OPTIONS };
    let text = stream(&model.config);
    let findings = probe(b, &mut model, &text, &options, &mut |_| true).expect("no device to lose").expect("it was not stopped");
    findings.rows.into_iter().map(|row| (row.name, row.nll)).collect()
}

fn findings(model: &mut Model<Tensor<f32>>, options: &Options) -> Findings {
    let text = stream(&model.config);
    probe(cpu::<f32>(1), model, &text, options, &mut |_| true).expect("no device to lose").expect("it was not stopped")
}

/// What `eval` says.
fn nll(model: &Model<Tensor<f32>>, segments: usize) -> f64 {
    let text = stream(&model.config);
    let letters = Chars::from_text("abcdefghijklm").expect("a vocabulary");
    let mut room = Evaluator::new(cpu::<f32>(1), model, OPTIONS.batch, CONTEXT).expect("memory");
    room.score(Windows::new(&text, CONTEXT), &letters, segments, |_, _| ()).expect("ids of the vocabulary").figures().nll
}

fn row<'a>(findings: &'a Findings, name: &str, layer: Option<usize>) -> &'a Row {
    let found = findings.rows.iter().find(|row| row.name == name && row.layer == layer);
    found.unwrap_or_else(|| panic!("no row {name}, {layer:?}"))
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 2e-6, "{what}: {found}, not {expected}");
}

/// A model of another configuration with the weights of `whole`'s: `cut` picks a tensor's from those of the same name.
fn like(whole: &Config, c: &Config, cut: impl Fn(&str, &[f32]) -> Vec<f32>) -> Model<Tensor<f32>> {
    let shapes = hh_core::model::shapes(whole);
    let params = weights::params(&mut cpu::<f32>(1), c, Precision::Full, |name, _, out| {
        let (_, shape) = shapes.iter().find(|(known, _)| known == name).expect("a tensor of the whole model");
        let mut values = vec![0.0; shape.count()];
        disturbed(name, *shape, whole, &mut values);
        out.copy_from_slice(&cut(name, &values));
        Ok(())
    });
    Model { config: c.clone(), params: params.expect("memory") }
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blocks.")?.split('.').next()?.parse().ok()
}

#[test]
fn the_baseline_is_what_evaluation_says_and_the_model_is_left_as_it_was() {
    for (name, c) in kinds() {
        let mut m = model(&mut cpu(1), &c);
        let before = nll(&m, c.segments);
        let found = findings(&mut m, &OPTIONS);
        assert_eq!(found.rows[0].nll.to_bits(), before.to_bits(), "{name}");
        assert_eq!(nll(&m, c.segments).to_bits(), before.to_bits(), "{name}: the model is another one afterwards");
        assert!(found.complete && found.rows.len() == knockouts(&c, c.segments, true).len(), "{name}");
        assert!(found.rows.iter().all(|r| r.nll.is_finite() && (r.nll - r.difference - before).abs() < 1e-9), "{name}");
        for segments in (1..=3).filter(|_| c.controller_width > 0) {
            let passes = row(&found, &format!("segments {segments}"), None);
            assert_eq!(passes.nll.to_bits(), nll(&m, segments).to_bits(), "{name}, {segments} segments");
        }
    }
}

#[test]
fn a_path_that_is_knocked_out_reaches_nothing() {
    for (name, c) in kinds() {
        let found = findings(&mut model(&mut cpu(1), &c), &OPTIONS);
        for knockout in knockouts(&c, c.segments, true) {
            let Change::Keep(keep) = knockout.change else { continue };
            let layers = knockout.layers(&c);
            // Its columns of the output projection, where the probe silences them before.
            let silent = like(&c, &c, |tensor, values| {
                let mut values = values.to_vec();
                if let Some(layer) = layer_of(tensor).filter(|l| layers.contains(l) && tensor.ends_with("out_proj.weight")) {
                    for (_, [_, (start, width)]) in block::columns(&c, layer).into_iter().enumerate().filter(|(path, _)| !keep[*path]) {
                        values.chunks_mut(c.mixed(layer)).for_each(|row| row[start..start + width].fill(0.0));
                    }
                }
                values
            });
            let (what, row) = (format!("{name}: {}, {:?}", knockout.name, knockout.layer), row(&found, &knockout.name, knockout.layer));
            close(row.nll, nll(&silent, c.segments), &what);
            let had = layers.clone().any(|l| (0..3).any(|path| c.on(l)[path] && !keep[path]));
            assert!(had && row.difference.abs() > 1e-6, "{what} changes nothing");
        }
    }
}

/// Where the mixer has no gates, a path that is silent is a path that is not there.
#[test]
fn a_mean_or_a_sum_without_a_path_is_a_model_without_it() {
    for kind in ["mean", "sum"] {
        let whole = config(&format!(r#""mixer_kind": "{kind}""#));
        let found = findings(&mut model(&mut cpu(1), &whole), &OPTIONS);
        for (path, (left, off)) in
            [("hopfield + attention", "ssm"), ("ssm + attention", "hopfield"), ("ssm + hopfield", "attention")].iter().enumerate()
        {
            let part = config(&format!(r#""mixer_kind": "{kind}", "{off}_width": 0"#));
            let without = like(&whole, &part, |name, values| {
                let Some(layer) = layer_of(name) else { return values.to_vec() };
                let [(z, z_width), (y, y_width)] = block::columns(&whole, layer)[path];
                let all_but =
                    |start: usize, width: usize, each: usize| [&values[..start * each], &values[(start + width) * each..]].concat();
                match name.rsplit_once(&format!("blocks.{layer}.")).map(|(_, leaf)| leaf) {
                    Some("in_proj.weight") => all_but(z, z_width, whole.width),
                    Some("mixer.norm.weight") => all_but(y, y_width, 1),
                    Some("out_proj.weight") => {
                        values.chunks(whole.mixed(layer)).flat_map(|row| [&row[..y], &row[y + y_width..]].concat()).collect()
                    }
                    _ => values.to_vec(),
                }
            });
            close(row(&found, left, None).nll, nll(&without, whole.segments), &format!("{kind} without {off}"));
        }
    }
}

#[test]
fn a_controller_that_is_off_leaves_one_segment() {
    for inject in [true, false] {
        let c = config(&format!(r#""segments": 3, "controller_inject": {inject}"#));
        let found = findings(&mut model(&mut cpu(1), &c), &OPTIONS);
        let [off, one, three, normal] =
            ["controller off", "segments 1", "segments 3", "controller normal"].map(|name| row(&found, name, None).nll);
        assert_eq!(off.to_bits(), one.to_bits(), "inject {inject}");
        assert!(three.to_bits() == normal.to_bits() && three != one, "inject {inject}");
        assert_ne!(row(&found, "controller off for the gates", None).nll == one, inject);
    }
}

#[test]
fn uniform_gates_are_the_mean_of_the_normalised_outputs() {
    let (whole, mean) = (config(""), config(r#""mixer_kind": "mean""#));
    let found = findings(&mut model(&mut cpu(1), &whole), &OPTIONS);
    close(row(&found, "gates uniform", None).nll, nll(&like(&whole, &mean, |_, values| values.to_vec()), 2), "gates uniform");
}

#[test]
fn a_depth_that_is_forced_is_that_refinement_alone() {
    for kind in [r#""hopfield_kind": "modern""#, r#""hopfield_kind": "classic", "hopfield_slots": 0"#] {
        let [whole, two, one] = ["[3, 3]", "[2, 2]", "[1, 1]"].map(|depths| config(&format!(r#"{kind}, "hopfield_depths": {depths}"#)));
        // The first refinements of a deeper memory are those of a shallower one.
        let shallow = |c: &Config| {
            let c = c.clone();
            like(&whole, &c, |name, values| match name.contains(".hopfield.depth.") {
                true => values[..values.len() / 3 * c.hopfield_depths[0]].to_vec(),
                false => values.to_vec(),
            })
        };
        let (deep, mut flat) = (findings(&mut model(&mut cpu(1), &whole), &OPTIONS), shallow(&two));
        close(row(&deep, "depth 1", None).nll, nll(&shallow(&one), 2), &format!("{kind}, depth 1"));
        close(row(&deep, "depth 2", None).nll, row(&findings(&mut flat, &OPTIONS), "depth 2", None).nll, &format!("{kind}, depth 2"));
        assert!((row(&deep, "depth 3", None).nll - row(&deep, "depth 2", None).nll).abs() > 1e-6);
        let even = like(&whole, &whole, |name, values| {
            if name.contains(".hopfield.depth.") { vec![7.0 * f32::from(name.ends_with("bias")); values.len()] } else { values.to_vec() }
        });
        close(row(&deep, "depths uniform", None).nll, nll(&even, 2), &format!("{kind}, depths uniform"));
    }
}

#[test]
fn slots_that_are_removed_are_a_memory_that_never_had_any() {
    let [whole, bare] = [2, 0].map(|slots| config(&format!(r#""hopfield_slots": {slots}"#)));
    let found = findings(&mut model(&mut cpu(1), &whole), &OPTIONS);
    let without = like(&whole, &bare, |_, values| values.to_vec());
    assert_eq!(row(&found, "slots removed", None).nll.to_bits(), nll(&without, 2).to_bits());
    assert!(row(&found, "slots removed", Some(1)).nll != row(&found, "slots removed", None).nll);
}

#[test]
fn the_only_layer_is_the_whole_model() {
    let c = config(r#""layers": 1, "hopfield_depths": [3]"#);
    let found = findings(&mut model(&mut cpu(1), &c), &OPTIONS);
    let mut compared = 0;
    for layer in found.rows.iter().filter(|row| row.layer == Some(0)) {
        assert_eq!(layer.nll.to_bits(), row(&found, &layer.name, None).nll.to_bits(), "{}", layer.name);
        compared += 1;
    }
    // Six sets of paths and none, three shuffles, three depths and all alike, gates, slots, and the controller's gates.
    assert_eq!(compared, 7 + 3 + 4 + 1 + 1 + 1);
}

#[test]
fn a_shuffle_of_one_position_is_none_and_a_seed_is_an_order() {
    let mut m = model(&mut cpu(1), &config(""));
    let shuffled = |found: &Findings| -> Vec<f64> {
        found
            .rows
            .iter()
            .filter(|row| row.group == Group::Shuffles || row.name == "controller shuffled")
            .map(|row| row.difference)
            .collect()
    };
    let alone = findings(&mut m, &Options { context: 1, ..OPTIONS });
    assert!(shuffled(&alone).iter().all(|&x| x == 0.0));
    let [one, again, other] = [1, 1, 2].map(|seed| findings(&mut m, &Options { seed, ..OPTIONS }));
    assert_eq!(one, again);
    assert!(shuffled(&one).iter().zip(shuffled(&other)).all(|(a, b)| *a != b && *a != 0.0));
}

#[test]
fn what_a_model_lacks_has_no_row() {
    let names = |changes: &str| -> Vec<String> { knockouts(&config(changes), 2, false).into_iter().map(|k| k.name).collect() };
    let lacks = |changes: &str, word: &str| assert!(!names(changes).iter().any(|name| name.contains(word)), "{changes}: {word}");
    lacks(r#""controller_width": 0"#, "controller");
    lacks(r#""controller_width": 0"#, "segments");
    lacks(r#""attention_width": 0"#, "attention");
    lacks(r#""hopfield_depths": [1, 1]"#, "depth");
    lacks(r#""hopfield_slots": 0"#, "slots");
    lacks(r#""mixer_kind": "mean""#, "gates");
    assert_eq!(names(r#""hopfield_width": 0, "attention_width": 0, "controller_width": 0"#), ["baseline", "no path", "ssm shuffled"]);
    let paths: Vec<_> = knockouts(&config(""), 2, false).into_iter().filter(|k| k.group == Group::Paths).map(|k| k.name).collect();
    let pairs = ["ssm + hopfield", "ssm + attention", "hopfield + attention"];
    assert_eq!(paths, [&["only ssm", "only hopfield", "only attention"][..], &pairs, &["all paths", "no path"]].concat());
}

#[test]
fn gates_and_depths_are_means_over_the_last_pass() {
    let c = config(r#""ssm_width": [8, 0]"#);
    let found = findings(&mut model(&mut cpu(1), &c), &OPTIONS);
    for layer in 0..2 {
        let of: Vec<_> = found.gates.iter().filter(|gate| gate.layer == layer).collect();
        assert_eq!(of.len(), 3 - layer);
        assert!((of.iter().map(|gate| gate.mean).sum::<f64>() - of.len() as f64).abs() < 1e-5);
        for t in 0..CONTEXT {
            assert!((of.iter().map(|gate| gate.positions[t]).sum::<f32>() - of.len() as f32).abs() < 1e-5);
        }
        assert!((found.depths[layer].weights.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }
    // Gates that do not depend on what is read are their biases' softmax.
    let bias = [0.5f32, -0.5, 0.25];
    let mut fixed = like(&config(""), &config(""), |name, values| match name {
        _ if name.contains("mixer.gate.weight") || name.contains("gate_bias.weight") || name.contains("depth.weight") => {
            vec![0.0; values.len()]
        }
        _ if name.contains("mixer.gate.bias") => bias.to_vec(),
        _ if name.ends_with("depth.bias") => (0..values.len()).map(|k| k as f32).collect(),
        _ => values.to_vec(),
    });
    let found = findings(&mut fixed, &OPTIONS);
    let sum: f32 = bias.iter().map(|x| x.exp()).sum();
    for gate in &found.gates {
        let i = ["ssm", "hopfield", "attention"].iter().position(|name| *name == gate.path).expect("a path");
        close(gate.mean, f64::from(3.0 * bias[i].exp() / sum), &gate.path);
    }
    let e = std::f64::consts::E;
    close(found.depths[1].weights[0], 1.0 / (1.0 + e), "the first of two depths");
    close(found.depths[0].weights[2], e * e / (1.0 + e + e * e), "the last of three");
}

#[test]
fn a_probe_that_is_stopped_has_its_first_rows_and_leaves_the_model_whole() {
    let mut m = model(&mut cpu(1), &config(""));
    let (before, text) = (nll(&m, 2), stream(&m.config));
    let whole = findings(&mut m, &OPTIONS);
    let mut stopped = |batches: usize| {
        let mut left = batches;
        let found = probe(cpu::<f32>(1), &mut m, &text, &OPTIONS, &mut |progress| {
            assert!(progress.done < progress.of);
            left = left.saturating_sub(1);
            left > 0
        });
        assert_eq!(nll(&m, 2).to_bits(), before.to_bits());
        found.expect("no device to lose")
    };
    assert_eq!(stopped(1), None);
    let part = stopped(40).expect("some rows");
    assert!(!part.complete && part.rows.len() > 5 && part.rows[..] == whole.rows[..part.rows.len()]);
}

#[test]
fn the_error_of_a_difference_is_that_of_its_windows() {
    let mut m = model(&mut cpu(1), &config(""));
    let text = stream(&m.config);
    let found = findings(&mut m, &OPTIONS);
    // Window by window, as texts of their own.
    let each: Vec<(f64, f64)> = (0..text.len() - 1)
        .step_by(CONTEXT)
        .map(|start| {
            let one = text.part(start..(start + CONTEXT as u64 + 1).min(text.len()));
            let found =
                probe(cpu::<f32>(1), &mut m, &one, &OPTIONS, &mut |_| true).expect("no device to lose").expect("it was not stopped");
            assert_eq!(found.rows[0].standard_error, None);
            (row(&found, "only ssm", None).difference, found.tokens as f64)
        })
        .collect();
    let (all, n) = (each.iter().map(|(_, n)| n).sum::<f64>(), each.len() as f64);
    let mean = each.iter().map(|(d, n)| d * n).sum::<f64>() / all;
    let squares: f64 = each.iter().map(|(d, n)| ((d - mean) * n).powi(2)).sum();
    close(row(&found, "only ssm", None).difference, mean, "the difference");
    close(row(&found, "only ssm", None).standard_error.expect("four windows"), (n / (n - 1.0) * squares).sqrt() / all, "its error");
}
