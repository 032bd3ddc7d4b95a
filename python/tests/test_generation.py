"""Generation: the program's text, and states that continue."""

import pickle

import numpy as np
import pytest

import hh
from conftest import run, sentence_of

SAMPLING = {"temperature": 0.8, "top_k": 20, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.1, "seed": 7}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SAMPLING.items()]


@pytest.fixture(scope="module")
def model(checkpoint):
    return hh.TextModel(checkpoint)


def sampled(checkpoint, prompt, *flags):
    done = run("sample", checkpoint, "--prompt", prompt, *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_seed_draws_the_text_of_the_program(model, checkpoint):
    wanted = sampled(checkpoint, "Anna ", "--tokens", 100, *FLAGS)
    pieces = list(model.generate("Anna ", max_tokens=100, **SAMPLING))
    assert "".join(pieces) == wanted and len(pieces) > 50
    assert "".join(hh.TextModel(checkpoint, threads=2).generate("Anna ", max_tokens=100, **SAMPLING)) == wanted
    other = "".join(model.generate("Anna ", max_tokens=100, **{**SAMPLING, "seed": 8}))
    assert other != wanted
    stop = wanted[40:43]
    assert "".join(model.generate("Anna ", max_tokens=100, stop=stop, **SAMPLING)) == wanted[: wanted.index(stop)]
    assert "".join(model.generate("Anna ", max_tokens=100, stop=["\0", stop], **SAMPLING)) == wanted[: wanted.index(stop)]


def test_a_long_prompt_is_read_as_by_the_program(model, checkpoint):
    prompt = "Anna puts the coin in the jar. " * 80
    assert len(model.tokenize(prompt)) > 2 * 1024
    wanted = sampled(checkpoint, prompt, "--tokens", 40, *FLAGS)
    assert "".join(model.generate(prompt, max_tokens=40, **SAMPLING)) == wanted
    session = model.session()
    session.prefill(prompt)
    logits = session.logits()
    assert logits.dtype == np.float32 and logits.shape == (model.vocab_size,)
    # A token is a character. Whole chunks first: the same bits.
    parts = model.session()
    parts.prefill(prompt[:2048])
    parts.prefill(prompt[2048:])
    assert parts.position == session.position and np.array_equal(parts.logits(), logits)
    whole = model.session()
    whole.prefill("Anna ")
    next(whole.generate(temperature=0))
    # A token that was drawn is run with the text after it.
    whole.prefill(prompt)
    assert whole.position == len(model.tokenize(prompt)) + 6


def test_a_state_continues_with_the_same_text(model, checkpoint, tmp_path):
    session = model.session()
    session.prefill("Anna ")
    assert "".join(session.generate(max_tokens=20, temperature=0))
    state, position = session.state(), session.position
    assert isinstance(state, bytes) and position == 25 and repr(session) == "<hh.Session after 25 tokens>"
    fork = session.fork()
    wanted = "".join(session.generate(max_tokens=50, **SAMPLING))
    assert session.position == 75
    session.restore(state)
    assert session.position == position and "".join(session.generate(max_tokens=50, **SAMPLING)) == wanted
    assert "".join(fork.generate(max_tokens=50, **SAMPLING)) == wanted
    other = hh.TextModel(checkpoint).session()
    other.restore(state)
    assert "".join(other.generate(max_tokens=50, **SAMPLING)) == wanted
    session.reset()
    assert session.position == 0 and session.logits().shape == (0,)


def test_an_abandoned_generation_leaves_the_session_where_it_stands(model):
    session = model.session()
    session.prefill("Anna ")
    start = session.state()
    whole = list(session.generate(max_tokens=9, temperature=0))
    session.restore(start)
    pieces = session.generate(max_tokens=9, temperature=0)
    first = [next(pieces), next(pieces)]
    assert session.position == 7 and first + list(pieces) == whole
    assert list(pieces) == [] and list(session.generate(max_tokens=0)) == []


def test_bad_input_is_refused_in_the_words_of_the_program(model, checkpoint):
    for name, value in {"temperature": -1.0, "top_p": 1.5, "min_p": 2.0, "repetition_penalty": 0.0}.items():
        said = sentence_of("sample", checkpoint, f"--{name.replace('_', '-')}={value}")
        with pytest.raises(hh.InputError) as error:
            model.generate("a", **{name: value})
        assert str(error.value) == said
    with pytest.raises(hh.InputError, match="prefill at least one token first"):
        next(model.generate(""))
    with pytest.raises(hh.InputError, match="the saved session"):
        model.session().restore(model.session().state()[:-3])
    with pytest.raises(TypeError):
        model.session().restore("text")
    with pytest.raises(hh.InputError, match="context"):
        model.session(context=1 << 40)
    with pytest.raises(OverflowError):
        model.generate("a", max_tokens=-1)
    with pytest.raises(hh.InputError, match="threads is 0"):
        hh.TextModel(checkpoint, threads=0)


def test_text_that_the_vocabulary_lacks_is_refused(model):
    with pytest.raises(hh.InputError):
        model.generate("東京")


def test_a_model_is_pickled_as_its_path(model, checkpoint):
    copy = pickle.loads(pickle.dumps(model))
    assert repr(copy) == repr(model) == f"hh.TextModel({str(checkpoint)!r}, threads=1)".replace("'", '"')
    assert list(copy.generate("Anna ", seed=3)) == list(model.generate("Anna ", seed=3))
    assert model.context > 0 and '"layers"' in model.config
