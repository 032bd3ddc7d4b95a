//! The kernels' sources with their headers inlined, and the variants that they are compiled in.

use super::{Variant, images::Key};

/// The sources by their stems.
pub(super) const SOURCES: [(&str, &str); 21] = [
    ("attend", include_str!("../attend.cu")),
    ("conv", include_str!("../conv.cu")),
    ("convert", include_str!("../convert.cu")),
    ("cross_entropy", include_str!("../cross_entropy.cu")),
    ("embed", include_str!("../embed.cu")),
    ("episodic", include_str!("../episodic.cu")),
    ("flow", include_str!("../flow.cu")),
    ("gate", include_str!("../gate.cu")),
    ("hebbian", include_str!("../hebbian.cu")),
    ("memory", include_str!("../memory.cu")),
    ("mix", include_str!("../mix.cu")),
    ("norm", include_str!("../norm.cu")),
    ("optimise", include_str!("../optimise.cu")),
    ("pool", include_str!("../pool.cu")),
    ("random", include_str!("../random.cu")),
    ("recall", include_str!("../recall.cu")),
    ("rotate", include_str!("../rotate.cu")),
    ("scan", include_str!("../scan.cu")),
    ("step", include_str!("../step.cu")),
    ("sums", include_str!("../sums.cu")),
    ("swiglu", include_str!("../swiglu.cu")),
];

const HEADERS: [(&str, &str); 7] = [
    ("common.cuh", include_str!("../common.cuh")),
    ("tile.cuh", include_str!("../tile.cuh")),
    ("pipeline.cuh", include_str!("../pipeline.cuh")),
    ("mask.cuh", include_str!("../mask.cuh")),
    ("lookup.cuh", include_str!("../lookup.cuh")),
    ("carry.cuh", include_str!("../carry.cuh")),
    ("refine.cuh", include_str!("../refine.cuh")),
];

/// The source with its headers inlined.
pub(super) fn inlined(source: &str) -> String {
    let text = SOURCES.iter().find(|(stem, _)| *stem == source).map_or("", |(_, text)| text);
    let mut out = String::new();
    paste(text, &mut Vec::new(), &mut out);
    out
}

fn paste(text: &str, seen: &mut Vec<&'static str>, out: &mut String) {
    for line in text.lines() {
        let header = HEADERS.iter().find(|(name, _)| line.strip_prefix("#include \"").and_then(|l| l.strip_suffix('"')) == Some(name));
        match header {
            Some((name, _)) if seen.contains(name) => {}
            Some((name, text)) => {
                seen.push(name);
                paste(text, seen, out);
            }
            None if line.starts_with("#pragma once") => {}
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}

/// The variants of a source that the backend launches.
pub(super) fn variants(source: &str) -> Vec<Variant> {
    if inlined(source).contains("HEAD") {
        let head = |bf16| [16, 32, 64, 128].map(|head| Variant::Head(bf16, head));
        [head(true), head(false)].concat()
    } else if SOURCES.iter().any(|(stem, text)| *stem == source && text.contains("VEC")) {
        [8, 4, 1].map(Variant::Vec).into()
    } else {
        vec![Variant::Plain]
    }
}

/// All sources in all variants, those that take longest to compile first.
pub(super) fn all() -> Vec<Key> {
    let mut keys: Vec<Key> = SOURCES.iter().flat_map(|&(stem, _)| variants(stem).into_iter().map(move |variant| (stem, variant))).collect();
    let seconds = |&(stem, variant): &Key| match variant {
        Variant::Head(bf16, head) => head * if bf16 { 1 } else { 4 } * if stem == "attend" { 1 } else { 2 },
        _ => 0,
    };
    keys.sort_by_key(|key| std::cmp::Reverse(seconds(key)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_headers_once() {
        let text = inlined("recall");
        assert_eq!(text.matches("struct Tensor {").count(), 1);
        assert!(!text.contains("#include \"common.cuh\"") && text.contains("KERNEL(recall_rows"));
    }
}
