use super::*;
use crate::presets::preset;
use crate::quant::Format;
use crate::rng;
use alloc::sync::Arc;
use alloc::{string::ToString, vec, vec::Vec};

const TINY: &str = r#"{"vocab_size": 5, "width": 4, "layers": 1, "ffn": 4, "head_dim": 2, "ssm_width": 4, "norm_eps": 1e-05}"#;

fn tiny() -> Config {
    Config::from_json(TINY).unwrap()
}

fn notes() -> Metadata {
    [(STEP, "12"), (TOKENIZER, r#"{"kind":"bytes"}"#), ("data", "a \"quoted\" text\n")].map(|(k, v)| (k.into(), v.into())).into()
}

fn shapes() -> [(&'static str, Shape); 3] {
    [("z.weight", Shape::matrix(3, 2)), ("a.bias", Shape::vector(5)), ("m.slots", Shape::cube(2, 1, 3))]
}

/// Numbers that every type stores exactly.
fn values(shape: Shape) -> Vec<f32> {
    (0..shape.count()).map(|i| (i as f32 - 2.0) / 4.0).collect()
}

fn file(dtype: Dtype) -> Vec<u8> {
    let data = shapes().map(|(_, shape)| values(shape));
    let tensors = shapes().into_iter().zip(&data).map(|((name, shape), x)| (name, shape, x.as_slice()));
    write(&tiny(), &notes(), tensors, dtype).unwrap()
}

/// A file with a header of one's own.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn message(bytes: &[u8]) -> String {
    Checkpoint::parse(bytes).expect_err("this must not be a checkpoint").to_string()
}

#[test]
fn what_was_written_is_read() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let bytes = file(dtype);
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        assert_eq!((checkpoint.config(), checkpoint.step()), (&tiny(), 12));
        assert_eq!(checkpoint.tokenizer_json(), Some(r#"{"kind":"bytes"}"#));
        assert_eq!(checkpoint.metadata()["data"], "a \"quoted\" text\n");
        assert!(checkpoint.names().eq(shapes().map(|(name, _)| name)), "the order is the writer's");
        checkpoint.expect(shapes()).unwrap();
        for (name, shape) in shapes() {
            let mut out = vec![f32::NAN; shape.count()];
            checkpoint.read(name, shape, &mut out).unwrap();
            assert_eq!(out, values(shape), "{name} {dtype:?}");
            let tensor = checkpoint.tensor(name).unwrap();
            assert_eq!((tensor.dtype, tensor.shape), (dtype, shape));
            assert!(bytes.as_ptr_range().contains(&tensor.bytes.as_ptr()), "no copy was made");
        }
        assert_eq!(checkpoint.tensor("z.weight").unwrap().bytes.as_ptr().addr() % 4, bytes.as_ptr().addr() % 4, "aligned in the file");
        assert_eq!(bytes, file(dtype), "the same bytes every time");
    }
}

#[test]
fn a_file_of_the_reference_is_read() {
    let config = r#"{\"vocab_size\": 5, \"width\": 4, \"layers\": 1, \"ffn\": 4, \"head_dim\": 2, \"embed_dim\": 4, \"positions\": \"rope\", \"max_len\": 1024, \"ssm_width\": [4], \"ssm_conv\": 4, \"hopfield_width\": [0], \"hopfield_kind\": \"modern\", \"hopfield_depths\": [], \"hopfield_slots\": 0, \"hopfield_window\": 0, \"hopfield_association\": \"successor\", \"attention_width\": [0], \"attention_window\": 0, \"mixer_kind\": \"softmax\", \"mixer_hidden\": 32, \"segments\": 1, \"controller_width\": 0, \"controller_inject\": true, \"flow_hidden\": 0, \"norm_eps\": 1e-05}"#;
    let header =
        format!(r#"{{"__metadata__":{{"config":"{config}"}},"norm_out.weight":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}   "#);
    let bytes = raw(&header, &1.5f32.to_le_bytes());
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    assert_eq!((checkpoint.config(), checkpoint.step(), checkpoint.tokenizer_json()), (&tiny(), 0, None));
    let mut out = [0.0];
    checkpoint.read("norm_out.weight", Shape::vector(1), &mut out).unwrap();
    assert_eq!(out, [1.5]);
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_says_how_much_is_left() {
    let bytes = file(Dtype::F32);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for n in 0..bytes.len() {
        let message = message(&bytes[..n]);
        let expected = match n {
            0 => "empty".to_string(),
            1..8 => format!("{n} bytes, too few"),
            _ if n < header => format!("cut short: it has {n} bytes, and its header alone should have {}", header - 8),
            _ => format!("cut short: it should have {} bytes and has {n}", bytes.len()),
        };
        assert!(message.contains(&expected), "{n}: {message}");
    }
    assert!(message(&[&bytes[..], b"x"].concat()).contains("it is damaged"));
}

#[test]
fn files_of_other_kinds_are_told_apart() {
    let entry = |name: &str, shape: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let config = TINY.replace('"', "\\\"");
    let with = |metadata: &str| raw(&format!(r#"{{"__metadata__":{{{metadata}}}}}"#), b"");
    for (bytes, part) in [
        (b"First Citizen:\nBefore we proceed".to_vec(), "not a safetensors file"),
        (raw("{\"a\": nonsense}", b""), "header of the file is damaged"),
        (raw("{\"a\": \u{1}", b""), "header of the file is damaged"),
        ([&6u64.to_le_bytes()[..], b"{\"\xff\":1}"].concat(), "header of the file is damaged"),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "header alone should have 18446744073709551615"),
        (raw("{}", b""), "has 0 tensors, but no \"config\""),
        (raw(&format!("{{{}}}", entry("a", "[1]", 0, 4)), &[0; 4]), "has 1 tensors, but no \"config\""),
        (raw(&format!("{{{}}}", entry("a", "[2]", 0, 4)), &[0; 4]), "damaged (invalid shape"),
        (raw(&format!("{{{},{}}}", entry("a", "[1]", 0, 4), entry("b", "[1]", 0, 4)), &[0; 4]), "invalid offset"),
        (raw(&format!("{{{},{}}}", entry("a", "[1]", 0, 4), entry("b", "[1]", 8, 12)), &[0; 12]), "invalid offset for tensor `b`"),
        (raw(&format!("{{{},{}}}", entry("a", "[1]", 0, 4), entry("a", "[1]", 4, 8)), &[0; 8]), "the key \"a\" comes twice"),
        (raw(&format!("{{{},{}}}", entry("a", "[1]", 0, 4), entry("a", "[1]", 0, 4)), &[0; 4]), "the key \"a\" comes twice"),
        (with(r#""step":"1","step":"1""#), "the key \"step\" comes twice"),
        (raw(&format!("{{{}}}", entry("a", "[9223372036854775807,4]", 0, 4)), &[0; 4]), "overflow"),
        (
            raw(&format!("{{{}}}", entry("a", "[288230376151711744]", 0, 1152921504606846976)), &[0; 4]),
            "cut short: it should have 11529215046068470",
        ),
        (with(&format!(r#""config":"{config}","format":"3""#)), "format \"3\""),
        (with(&format!(r#""config":"{config}","step":"many""#)), "step is \"many\""),
        (with(r#""config":"{}""#), "in the checkpoint: the configuration is not readable: missing field"),
        (with(r#""config":"""#), "in the checkpoint: the configuration is not readable"),
        (with(&format!(r#""config":"{}""#, config.replace("5", "0"))), "in the checkpoint: vocab_size is 0"),
        (raw(r#"{"__metadata__":{"config":1}}"#, b""), "header of the file is damaged"),
    ] {
        let message = message(&bytes);
        assert!(message.contains(part), "{message:?} does not say {part:?}");
        assert!(!message.contains('\n'), "one sentence: {message:?}");
    }
}

#[test]
fn a_tensor_that_does_not_fit_is_named() {
    let bytes = file(Dtype::F32);
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    let mut out = [0.0; 6];
    for (name, shape, part) in [
        ("b.bias", Shape::vector(5), "tensor b.bias is missing among the 3"),
        ("z.weight", Shape::matrix(2, 3), "tensor z.weight has shape [3, 2] in the file where the model has [2, 3]"),
        ("z.weight", Shape::vector(6), "tensor z.weight has shape [3, 2] in the file where the model has [6]"),
    ] {
        let error = checkpoint.read(name, shape, &mut out).unwrap_err();
        assert_eq!(checkpoint.expect([("a.bias", Shape::vector(5)), (name, shape)]), Err(error.clone()));
        assert!(error.to_string().contains(part), "{error}");
    }
    for (entry, size, part) in [
        (r#"{"dtype":"I64","shape":[2],"data_offsets":[0,16]}"#, 16, "tensor a is stored as I64"),
        (r#"{"dtype":"F32","shape":[],"data_offsets":[0,4]}"#, 4, "shape []"),
        (r#"{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]}"#, 4, "shape [1, 1, 1, 1]"),
    ] {
        let bytes = raw(&format!(r#"{{"a":{entry}}}"#), &vec![0; size]);
        assert!(Archive::parse(&bytes).unwrap().tensor("a").unwrap_err().to_string().contains(part));
    }
}

#[test]
fn a_number_that_is_not_finite_is_named_when_read_and_when_written() {
    for (dtype, nan) in [(Dtype::F32, &[0, 0, 0xc0, 0x7f][..]), (Dtype::F16, &[0x00, 0x7c]), (Dtype::Bf16, &[0x81, 0xff])] {
        let mut bytes = file(dtype);
        let end = bytes.len();
        bytes[end - nan.len()..].copy_from_slice(nan);
        let error = Checkpoint::parse(&bytes).unwrap().read("m.slots", Shape::cube(2, 1, 3), &mut [0.0; 6]).unwrap_err();
        assert!(error.to_string().starts_with("tensor m.slots has the value ") && error.to_string().contains("at element 5"), "{error}");
    }
    let one = |x: f32, dtype| {
        let values: Vec<f32> = (0..20_000).map(|i| if i == 17_000 { x } else { 0.0 }).collect();
        write(&tiny(), &notes(), [("a", Shape::vector(20_000), &values[..])], dtype).map_err(|e| e.to_string())
    };
    assert!(one(f32::NAN, Dtype::F32).unwrap_err().contains("tensor a has the value NaN at element 17000"));
    assert!(one(65520.0, Dtype::F16).unwrap_err().contains("tensor a has the value 65520 at element 17000, too large for F16"));
    assert!(one(65504.0, Dtype::F16).is_ok() && one(65520.0, Dtype::Bf16).is_ok());
    assert!(one(f32::MAX, Dtype::Bf16).unwrap_err().contains("too large for BF16"));
}

#[test]
fn a_type_overflows_exactly_where_it_says() {
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F32] {
        let (mut bytes, mut back) = (vec![0; 2 * dtype.size()], [0.0; 2]);
        dtype.encode(&[dtype.overflow(), -dtype.overflow().next_down()], &mut bytes);
        dtype.decode(&bytes, &mut back);
        assert!(back[0] == f32::INFINITY && back[1].is_finite(), "{dtype:?}: {back:?}");
    }
}

#[test]
fn names_that_the_format_forbids_are_refused() {
    for names in [&["a", "a"][..], &["__metadata__"]] {
        let error = write(&tiny(), &notes(), names.iter().map(|&name| (name, Shape::vector(1), &[0.0][..])), Dtype::F32).unwrap_err();
        assert!(error.to_string().contains(names[0]));
    }
    let huge = [("a", Shape::matrix(usize::MAX, 2))];
    let error = Writer::begin(&notes(), huge, Dtype::F32, |_: &[u8]| Ok::<(), Error>(())).err().unwrap();
    assert!(error.to_string().contains("too large for a file"));
}

#[test]
fn a_writer_passes_its_sinks_failure_on() {
    let mut room = 1000;
    let mut writer = Writer::begin(&notes(), [("a", Shape::vector(1000))], Dtype::F32, |piece: &[u8]| {
        room = usize::checked_sub(room, piece.len())
            .ok_or_else(|| Error::Device(Arc::from(Box::<dyn core::error::Error + Send + Sync>::from("the disk is full"))))?;
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(
        writer.tensor("a", &[0.0; 1000]),
        Err(Error::Device(Arc::from(Box::<dyn core::error::Error + Send + Sync>::from("the disk is full"))))
    );
}

#[test]
fn a_configuration_that_asks_for_terabytes_costs_nothing() {
    let config = Config { vocab_size: 1 << 24, width: 1 << 16, embed_dim: 1 << 16, ..tiny() };
    let bytes = write(&config, &notes(), [("embed.weight", Shape::matrix(2, 2), &[0.0; 4][..])], Dtype::F32).unwrap();
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    let wanted = Shape::matrix(checkpoint.config().vocab_size, checkpoint.config().embed_dim);
    let error = checkpoint.expect([("embed.weight", wanted)]).unwrap_err();
    assert!(error.to_string().contains("[2, 2] in the file where the model has [16777216, 65536]"), "{error}");
}

#[test]
fn no_damage_to_a_byte_makes_a_reader_panic() {
    let bytes = file(Dtype::F16);
    for round in 0..20_000 {
        let [place, value, second, other] = rng::block([5, 0, 0, 0], 1, round);
        let mut damaged = bytes.clone();
        damaged[place as usize % bytes.len()] = value as u8;
        if round % 2 == 0 {
            damaged[second as usize % bytes.len()] = other as u8;
        }
        if let Ok(checkpoint) = Checkpoint::parse(&damaged) {
            let _ = checkpoint.expect(shapes());
            let names: Vec<String> = checkpoint.names().map(ToString::to_string).collect();
            for name in names {
                if let Ok(tensor) = checkpoint.tensor(&name) {
                    let mut out = vec![0.0; tensor.shape.count()];
                    let _ = checkpoint.read(&name, tensor.shape, &mut out);
                }
            }
        }
    }
}

#[test]
fn every_preset_survives_a_checkpoint() {
    for (name, _) in crate::presets::PRESETS {
        let config = preset(name).unwrap();
        let bytes = write(&config, &Metadata::new(), [], Dtype::F32).unwrap();
        assert_eq!(Checkpoint::parse(&bytes).unwrap().config(), &config);
    }
}

type Named = (String, Shape, Vec<f32>);

/// A model of one block wide enough for blocks of numbers, in both forms.
fn quantised(format: Format) -> (Config, Vec<Named>, Vec<u8>) {
    let config = Config { width: 40, embed_dim: 40, ssm_width: vec![40], ffn: 48, head_dim: 4, ..tiny() };
    let tensors: Vec<_> = crate::model::shapes(&config)
        .into_iter()
        .map(|(name, shape)| (name, shape, (0..shape.count() as u32).map(|i| rng::normal([1, 0, 0, 0], 2, i)).collect::<Vec<_>>()))
        .collect();
    let bytes = write(&config, &notes(), tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), Stored::Quantised(format)).unwrap();
    (config, tensors, bytes)
}

#[test]
fn matrices_in_blocks_are_read_as_such_and_as_numbers() {
    for format in [Format::Q8, Format::Q4] {
        let (config, tensors, bytes) = quantised(format);
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        assert_eq!((checkpoint.config(), checkpoint.metadata()[FORMAT].as_str()), (&config, "2"));
        checkpoint.expect(tensors.iter().map(|(n, s, _)| (n.as_str(), *s))).unwrap();
        let mut kinds = [0; 3];
        for (name, shape, values) in &tensors {
            let mut out = vec![f32::NAN; shape.count()];
            checkpoint.read(name, *shape, &mut out).unwrap();
            let blocks = checkpoint.blocks(name, *shape).unwrap();
            assert_eq!(blocks.map(|b| b.format()), format.of(name, *shape), "{name}");
            match blocks {
                None => assert_eq!(&out, values, "{name}"),
                Some(blocks) => {
                    let mut wide = vec![f32::NAN; shape.count()];
                    format.of(name, *shape).unwrap().quantise(values, shape.width()).blocks().widen(&mut wide);
                    assert_eq!(out, wide, "{name}");
                    assert!(bytes.as_ptr_range().contains(&blocks.codes().as_ptr()), "no copy was made");
                }
            }
            kinds[blocks.map_or(0, |b| 1 + (b.format() == Format::Q4) as usize)] += 1;
        }
        assert!(kinds[0] > 0 && kinds[1] > 0 && (kinds[2] > 0) == (format == Format::Q4), "{kinds:?}");
    }
}

#[test]
fn blocks_of_another_model_or_damaged_ones_are_refused_by_name() {
    let (_, _, bytes) = quantised(Format::Q8);
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    let error = checkpoint.expect([("embed.weight", Shape::matrix(6, 40))]).unwrap_err().to_string();
    assert!(error.contains("embed.weight.q8") && error.contains("[5, 64]") && error.contains("[6, 64]"), "{error}");
    let scales = checkpoint.blocks("blocks.0.in_proj.weight", Shape::matrix(160, 40)).unwrap().unwrap().scales().as_flattened().as_ptr();
    let place = scales.addr() - bytes.as_ptr().addr();
    let mut broken = bytes.clone();
    broken[place..place + 2].copy_from_slice(&[0xc0, 0x7f]);
    let error = Checkpoint::parse(&broken).unwrap().blocks("blocks.0.in_proj.weight", Shape::matrix(160, 40)).unwrap_err().to_string();
    assert!(error.contains("block 0 of blocks.0.in_proj.weight"), "{error}");
}
