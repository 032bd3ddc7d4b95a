"""Real clients of OpenAI's interface against `hh-runtime serve`, on loopback.

    python tests/clients/clients.py PROGRAM [LANGUAGE_MODEL]

PROGRAM is hh-runtime with the features `serve` and `english`; LANGUAGE_MODEL a checkpoint to complete texts with (default: that of the
firmware). Installs openai, langchain-openai, llama-index-embeddings-openai and litellm into a temporary environment, and prints a
line for each client.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ["openai", "langchain-openai", "llama-index-embeddings-openai", "llama-index-embeddings-openai-like", "litellm", "numpy"]
TEXTS = ["A cat sits on the mat.", "Shares fell on Monday.", "The kitten lies on the rug."]


def start(program, *args):
    """A server and its address."""
    server = subprocess.Popen([program, "serve", *args, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().split(" on ")[1].strip()


def alike(vectors):
    """Whether the two texts about cats are closer to each other than to the third."""
    import numpy

    cat, shares, kitten = numpy.asarray(vectors)
    assert len(cat) == 384 and abs(cat @ cat - 1) < 1e-3, (len(cat), cat @ cat)
    assert cat @ kitten > cat @ shares + 0.2, (cat @ kitten, cat @ shares)


def openai(base, lm):
    from openai import BadRequestError, NotFoundError, OpenAI

    client = OpenAI(base_url=base, api_key="none", max_retries=0)
    alike([row.embedding for row in client.embeddings.create(model="english", input=TEXTS).data])
    alike([row.embedding for row in client.embeddings.create(model="english", input=TEXTS, encoding_format="float").data])
    assert client.models.retrieve("english").id == client.models.list().data[0].id == "english"
    for error, call in [
        (NotFoundError, lambda: client.embeddings.create(model="other", input="x")),
        (BadRequestError, lambda: client.embeddings.create(model="english", input="")),
        (BadRequestError, lambda: client.completions.create(model="english", prompt="x")),
    ]:
        try:
            call()
            raise AssertionError(f"{error} was expected")
        except error as e:
            assert e.body["message"], e
    client = OpenAI(base_url=lm, api_key="none", max_retries=0)
    name = client.models.list().data[0].id
    whole = client.completions.create(model=name, prompt="ROMEO:\n", max_tokens=40, temperature=0)
    events = list(client.completions.create(model=name, prompt="ROMEO:\n", max_tokens=40, temperature=0, stream=True, stream_options={"include_usage": True}))
    assert "".join(event.choices[0].text for event in events if event.choices) == whole.choices[0].text
    assert events[-1].usage.completion_tokens == whole.usage.completion_tokens == 40


def langchain(base, lm):
    from langchain_openai import OpenAI, OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(model="english", base_url=base, api_key="none", check_embedding_ctx_length=False)
    alike(embeddings.embed_documents(TEXTS))
    assert len(embeddings.embed_query(TEXTS[0])) == 384
    try:
        OpenAIEmbeddings(model="english", base_url=base, api_key="none", tiktoken_enabled=False).embed_query("x")
    except Exception as e:  # It needs a tokenizer from the network; offline it ends before it asks the server.
        print(f"    langchain with its own tokenizer: {type(e).__name__}")
    model = OpenAI(model="model", base_url=lm, api_key="none", max_tokens=20, temperature=0)
    assert model.invoke("ROMEO:\n") == "".join(model.stream("ROMEO:\n"))


def llama_index(base, _):
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    embeddings = OpenAILikeEmbedding(model_name="english", api_base=base, api_key="none")
    alike(embeddings.get_text_embedding_batch(TEXTS))


def litellm(base, lm):
    import litellm

    litellm.telemetry = False
    answer = litellm.embedding(model="openai/english", input=TEXTS, api_base=base, api_key="none")
    alike([row["embedding"] for row in answer.data])
    answer = litellm.text_completion(model="text-completion-openai/model", prompt="ROMEO:\n", api_base=lm, api_key="none", max_tokens=20)
    assert answer.choices[0].text


def main(program, model):
    servers = [start(program), start(program, model)]
    (_, base), (_, lm) = servers
    failed = 0
    try:
        for client in [openai, langchain, llama_index, litellm]:
            try:
                client(base, lm)
                print(f"{client.__name__}: works")
            except Exception as e:
                failed += 1
                print(f"{client.__name__}: {type(e).__name__}: {e}")
    finally:
        for server, _ in servers:
            server.terminate()
            assert server.wait(20) == 0, "the server ends in order"
    sys.exit(failed)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = str(pathlib.Path(sys.argv[1]).resolve())
    model = sys.argv[2] if len(sys.argv) > 2 else str(ROOT / "firmware/model.safetensors")
    if os.environ.get("HH_CLIENTS") == "ready":
        main(program, model)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = pathlib.Path(folder) / "bin/python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        environment = os.environ | {"HH_CLIENTS": "ready", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        sys.exit(subprocess.run([python, __file__, program, model], env=environment, timeout=300).returncode)
