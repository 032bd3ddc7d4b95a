"""The documentation shows what runs."""

import re

import pytest

from conftest import ROOT

PAGE = (ROOT / "docs/python.md").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("python/engines/*.py")), ids=lambda path: path.stem)
def test_an_engine_is_shown_as_it_runs(path):
    if path.stem == "check":
        pytest.skip("no engine")
    code = path.read_text().split('"""', 2)[2].strip()
    assert f"```python\n{code}\n```" in PAGE


def test_the_examples_run(checkpoint, capsys):
    embeddings, generation, *_ = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(embeddings, names)
    assert capsys.readouterr().out == "0\n"
    assert "runs/char-0.8m-1" in generation
    exec(generation.replace("runs/char-0.8m-1", str(checkpoint)), names)
    assert names["first"] and names["logits"].shape == (names["model"].vocab_size,)
    (readme,) = re.findall("```python\n(.*?)```", (ROOT / "python/README.md").read_text(), re.DOTALL)
    capsys.readouterr()
    exec(readme, {})
    assert capsys.readouterr().out == "0\n"
