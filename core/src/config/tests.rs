use super::*;
use alloc::string::ToString;

const SMALL: &str = r#"{"vocab_size": 5, "width": 8, "layers": 2, "ffn": 8, "head_dim": 4, "ssm_width": 4}"#;

#[test]
fn short_forms_are_written_out() {
    let c = Config::from_json(SMALL).unwrap();
    assert_eq!((c.embed_dim, &c.ssm_width[..], &c.attention_width[..]), (8, &[4, 4][..], &[0, 0][..]));
    assert_eq!(Config::from_json(&c.to_json()).unwrap(), c);
}

#[test]
fn every_field_is_listed() {
    let error = serde_json::from_str::<Config>(r#"{"?": 0}"#).unwrap_err().to_string();
    let expected = error.split_once("expected one of ").unwrap().1;
    let fields: alloc::vec::Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    assert_eq!(fields, Config::FIELDS);
}

#[test]
fn what_cannot_be_is_named_with_its_value() {
    for (from, to, words) in [
        (r#""layers": 2"#, r#""layers": 1152921504606846976"#, "layers is 1152921504606846976"),
        (r#""width": 8"#, r#""width": 0"#, "width is 0"),
        (r#""ssm_width": 4"#, r#""ssm_width": [4, 4, 4]"#, "ssm_width has 3 entries"),
        (r#""ssm_width": 4"#, r#""ssm_width": 0"#, "layer 0 has no path"),
        (r#""ssm_width": 4"#, r#""attention_width": 6"#, "attention_width of layer 0 is 6; it must be a multiple of head_dim (4)"),
        (r#""ssm_width": 4"#, r#""hopfield_width": 4"#, "hopfield_depths has 0 entries"),
        (r#""ssm_width": 4"#, r#""hopfield_width": 4, "hopfield_depths": [1, 0]"#, "hopfield_depths of layer 1 is 0"),
        (
            r#""ssm_width": 4"#,
            r#""hopfield_width": 4, "hopfield_depths": [1, 1], "hopfield_kind": "classic", "hopfield_window": 3"#,
            "no window",
        ),
        (r#""head_dim": 4"#, r#""head_dim": 1, "attention_width": 3"#, "rotary positions need an even one"),
        (r#""ffn": 8"#, r#""ffn": 8, "norm_eps": 0.0"#, "norm_eps is 0"),
        (r#""ffn": 8"#, r#""ffn": 8, "episodic_window": 9"#, "episodic_window is 9 without a memory"),
        (r#""ffn": 8"#, r#""ffn": 8, "depth": 3"#, "unknown field `depth`"),
    ] {
        let text = SMALL.replace(from, to);
        let message = Config::from_json(&text).unwrap_err().to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
}
