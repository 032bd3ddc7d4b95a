//! Losses over a few hundred steps, compared with the reference implementation from the same weights over the same ids.

use crate::{
    peer::Peer,
    shapes::Shapes,
    steps::trainer,
    table::{Line, Table},
};
use hh_core::{
    backend::Device,
    checkpoint::{Dtype, write},
    model, rng,
    shape::Shaped,
};
use hh_cuda::{Cuda, DeviceError};
use std::{error::Error, fs, path::Path, time::Instant};

/// Token ids with learnable structure: with probability 3/4 a function of the previous id, else random.
fn text(vocab: u32, seed: u32, length: usize) -> Vec<u32> {
    let mut id = seed % vocab;
    let next = |i: u32| {
        let [coin, any, ..] = rng::block([seed, 7, 0, 0], 4, i);
        id = if coin < u32::MAX / 4 { any % vocab } else { (5 * id + 3) % vocab };
        id
    };
    (0..length as u32).map(next).collect()
}

fn bytes<const N: usize, X>(of: &[X], bytes: impl Fn(&X) -> [u8; N]) -> Vec<u8> {
    of.iter().flat_map(bytes).collect()
}

pub(crate) fn draw(
    make: impl Fn() -> Result<Cuda, DeviceError>,
    shapes: &Shapes,
    peer: &mut Peer,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let (step, steps) = shapes.curve;
    let (preset, segments, batch, context) = step;
    let mut trainer = trainer(make()?, step, steps)?;
    let config = trainer.config().clone();
    let folder = std::env::temp_dir().join(format!("hh-gpu-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = |name: &str| folder.join(name);

    let (b, train_state) = trainer.train_state_mut();
    let mut values = Vec::new();
    for leaf in train_state.weights.leaves() {
        let mut host = vec![0.0; leaf.shape().count()];
        b.download(leaf, &mut host)?;
        values.push(host);
    }
    let named = model::shapes(&config);
    let tensors = named.iter().zip(&values).map(|((name, shape), values)| (name.as_str(), *shape, &values[..]));
    fs::write(file("weights.safetensors"), write(&config, &Default::default(), tensors, Dtype::F32)?)?;

    let (mut ids, mut rates, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for at in 0..steps {
        let rows: Vec<_> = (0..batch).map(|row| text(config.vocab_size as u32, (at as usize * batch + row) as u32, context + 1)).collect();
        let part = |shift: usize| rows.iter().flat_map(|row| row[shift..shift + context].to_vec()).collect::<Vec<_>>();
        trainer.accumulate(&part(0), &part(1))?;
        losses.push(trainer.losses()?.nll as f32);
        rates.push(trainer.hyper().schedule.lr(at));
        trainer.apply()?;
        ids.extend(rows.concat());
    }
    let seconds = began.elapsed().as_secs_f64();
    fs::write(file("ids"), bytes(&ids, |id| id.to_le_bytes()))?;
    fs::write(file("rates"), bytes(&rates, |rate| rate.to_le_bytes()))?;

    let paths = ["weights.safetensors", "ids", "rates"].map(|name| file(name).to_string_lossy().into_owned());
    let (out, sizes) = (file("losses"), [batch, context].map(|n| n.to_string()));
    let arguments = [&paths[0], &paths[1], &paths[2], &sizes[0], &sizes[1], &*out.to_string_lossy()];
    let answer = peer.measure_words("curve", &arguments);
    let comparison = read(&out).map_or("".into(), |theirs| compared(&losses, &theirs));
    table.add(Line {
        name: format!("{steps} steps of {preset}, segments {segments}, {batch} × {context}"),
        seconds,
        floor: None,
        peers: answer.map(|answer| ("eager", answer)).into_iter().collect(),
        note: format!("loss {:.4} to {:.4}{comparison}", losses[0], losses[losses.len() - 1]),
    });
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn read(path: &Path) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok()?;
    Some(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

/// Both ends of the reference's curve, and the largest difference.
fn compared(ours: &[f32], theirs: &[f32]) -> String {
    let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    format!("; reference {:.4} to {:.4}; largest difference {difference:.4}", theirs[0], theirs[theirs.len() - 1])
}
