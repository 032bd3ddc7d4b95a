//! The episodic memory of a session: against the reference, over documents, and what is forgotten.

use hh_core::session::{Options, Session};
use hh_cpu::{Cpu, Float, Tensor};
use hh_tests::{
    compare::distance,
    golden::{Golden, names},
    model::{config, cpu, model, text},
};

type Model<F> = hh_core::model::Model<Tensor<F>>;

fn session<F: Float>(model: &Model<F>, episodes: usize) -> Session<Cpu<F>, &Model<F>>
where
    Cpu<F>: hh_core::backend::Forward<Tensor = Tensor<F>>,
{
    let options = Options { context: 64, chunk: 4, episodes: Some(episodes), ..Options::default() };
    Session::new(cpu(1), model, options).expect("a session")
}

/// Every position of both rows of a golden text, one token at a time.
#[test]
fn a_session_gives_the_references_log_probabilities() {
    let mut compared = 0;
    for golden in names().iter().map(|name| Golden::read(name)) {
        let Some(wanted) = golden.maybe("log_probs") else { continue };
        let mut b = cpu::<f64>(1);
        let params = hh_core::weights::params(&mut b, &golden.config, hh_core::backend::Precision::Full, |name, _, out| {
            out.copy_from_slice(&golden.singles(&format!("weight.{name}")));
            Ok(())
        })
        .expect("memory");
        let (batch, time) = golden.extent();
        let model = Model { config: golden.config.clone(), params };
        let mut session = Session::new(b, &model, Options { batch, context: 64, ..Options::default() }).expect("a session");
        let (tokens, vocab) = (golden.ids("tokens"), golden.config.vocab_size);
        for t in 0..time {
            let now: Vec<u32> = (0..batch).map(|row| tokens[row * time + t]).collect();
            let found: Vec<f64> = session.step(&now).expect("ids of the vocabulary").iter().map(|&x| x.into()).collect();
            let wanted: Vec<f64> = (0..batch).flat_map(|row| &wanted[(row * time + t) * vocab..][..vocab]).copied().collect();
            assert!(distance(&found, &wanted, 1e-3) < 1e-6, "position {t}");
        }
        compared += 1;
    }
    assert!(compared >= 2, "golden cases with an episodic memory");
}

/// Documents read one after the other, with the layers' states reset between them.
fn read(session: &mut Session<Cpu<f32>, &Model<f32>>, documents: &[&[u32]]) {
    for document in documents {
        session.prefill(document).expect("ids of the vocabulary");
        session.end_document().expect("no device to lose");
    }
}

#[test]
fn what_was_forgotten_was_never_there() {
    let c = config(r#""episodic_width": 6, "segments": 1"#);
    let model = model(&mut cpu::<f32>(1), &c);
    let documents: Vec<Vec<u32>> = [9, 14, 5, 11].iter().zip(1..).map(|(&n, seed)| text(&c, seed, n)).collect();
    let [a, b, d, e] = [0, 1, 2, 3].map(|i| &documents[i][..]);

    let mut never = session(&model, 60);
    read(&mut never, &[a, d, e]);
    let mut forgot = session(&model, 60);
    read(&mut forgot, &[a, b, d, e]);
    // A document of n tokens has n − 1 items, for its last token has no next one.
    assert_eq!(forgot.episodes().unwrap(), 0..8 + 13 + 4 + 10);
    forgot.forget(8..8 + 13).unwrap();
    assert!(forgot.snapshot().unwrap().to_bytes() == never.snapshot().unwrap().to_bytes(), "the same bytes");
    assert_eq!(forgot.prefill(e).unwrap().to_vec(), never.prefill(e).unwrap().to_vec());

    let message = never.forget(5..1000).unwrap_err().to_string();
    assert!(message.contains("items 5 to 1000 of the episodic memory were asked for, which holds 0 to"), "{message}");
}

#[test]
fn items_are_the_tokens_that_followed_and_never_reach_across_documents() {
    let c = config(r#""episodic_width": 6, "segments": 1"#);
    let model = model(&mut cpu::<f32>(1), &c);
    let (first, second) = (text(&c, 1, 7), text(&c, 2, 5));
    let mut session = session(&model, 60);
    read(&mut session, &[&first, &second]);
    assert_eq!(session.episode_tokens().unwrap(), [&first[1..], &second[1..]].concat());
    assert_eq!(session.position(), 0, "the layers begin again");
    // A document that is read a second time finds each of its own passages.
    session.prefill(&first[..4]).unwrap();
    let votes = session.votes(3).unwrap();
    assert_eq!((votes[0].index, votes[0].token), (3, first[4]), "{votes:?}");
    assert!(votes.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
}

/// The ring has gone round several times; what it holds are the newest items.
#[test]
fn a_full_memory_drops_its_oldest_items() {
    let c = config(r#""episodic_width": 6, "segments": 1"#);
    let model = model(&mut cpu::<f32>(1), &c);
    let tokens = text(&c, 3, 50);
    let mut session = session(&model, 8);
    session.prefill(&tokens).unwrap();
    let held = session.episodes().unwrap();
    assert_eq!(held, 38..49, "rows for 8 items and a chunk of 4; the newest item waits for its token");
    assert_eq!(session.episode_tokens().unwrap(), tokens[39..50]);
    session.forget(40..42).unwrap();
    assert_eq!(session.episodes().unwrap(), 0..9);
    assert_eq!(session.episode_tokens().unwrap(), [&tokens[39..41], &tokens[43..50]].concat());
    let saved = session.snapshot().unwrap();
    let wanted = session.prefill(&tokens[..9]).unwrap().to_vec();
    session.restore(&hh_core::state::Snapshot::from_bytes(&saved.to_bytes()).unwrap()).unwrap();
    assert_eq!(session.prefill(&tokens[..9]).unwrap(), wanted);
}

#[test]
fn a_state_of_a_memory_of_another_size_is_refused() {
    let c = config(r#""episodic_width": 6, "segments": 1"#);
    let model = model(&mut cpu::<f32>(1), &c);
    let saved = session(&model, 8).snapshot().unwrap();
    let message = session(&model, 9).restore(&saved).unwrap_err().to_string();
    assert!(message.contains("open the session with an episodic memory of the saved size"), "{message}");
}
