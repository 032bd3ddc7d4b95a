"""Writes the seeds of the fuzz targets that read other programs' formats: python fuzz/seeds.py fuzz/seeds

`cargo run --release -p hh-tests --bin seeds fuzz/seeds` writes those of this project's own formats.
"""

import datetime
import decimal
import gzip
import io
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

root = pathlib.Path(sys.argv[1])


def seed(target, name, content):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


for name, text in {
    "quoted": 'id,text\r\n1,"a ""b"", c\nd"\r\n2,\r\n3,""\r\n',
    "semicolon": "id;text;weight\n1;caf\u00e9;0.5\n2;x;1e-07\n",
    "tab": "id\ttext\n18446744073709551615\ta\n-1\tb\n",
    "returns": "\ufeffa,b\rtrue,1\rfalse,2\r",
    "unnamed": "id,,\n1,x,\n,,9007199254740993\n",
    "one": "text\n\nlast",
    "dates": "when,what\n2026-11-27,a\n,b\n",
}.items():
    seed("csv", name, text)

for name, text in {
    "lines": '{"id":1,"text":"a"}\n\n{"id":18446744073709551615,"text":null,"new":[1,2.5]}\n',
    "nested": '{"meta":{"b":[{"x":1},{"x":null}],"a":"\\ud83d"},"text":"\\u00e9"}\n{"meta":{"b":[],"c":1e400},"text":"x"}\n',
    "mixed": '{"a":1}\n{"a":"x"}\n{"a":true}\n{"b":[[1],[]]}\n',
    "array": '[\n {"a": 1, "b": "]}"},\n {"a": 0.1}\n]\n',
    "conflict": '{"a":{}}\n{"a":[]}\n',
    "wide": '{"a":123456789012345678901234567890.5}\n{"a":-0}\n',
}.items():
    seed("jsonl", name, text)


def array(values, **kind):
    out = io.BytesIO()
    np.save(out, np.asarray(values, **kind))
    return out.getvalue()


numbers = np.arange(6).reshape(2, 3)
for kind in ("<f2", "<f4", "<f8", ">f4", "<i8", "|u1"):
    seed("npy", kind[1:] if kind[0] != ">" else "big", array(numbers, dtype=kind))
seed("npy", "fortran", array(np.asfortranarray(numbers, dtype="<f4")))
seed("npy", "vector", array([1.0, 2.0], dtype="<f4"))
seed("npy", "none", array(np.zeros((0, 4)), dtype="<f4"))


def parquet(table, **options):
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


text = pa.table({"text": ["a", None, "the cat", ""]})
scalars = pa.table(
    {
        "i": pa.array([1, None, -3, 4], pa.int32()),
        "u": pa.array([2**64 - 1, 0, None, 1], pa.uint64()),
        "f": pa.array([0.5, None, float("nan"), 1e300]),
        "b": pa.array([True, False, None, True]),
        "d": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-3.25"), decimal.Decimal(0)], pa.decimal128(20, 2)),
        "t": pa.array([datetime.datetime(2026, 11, 27), None] * 2, pa.timestamp("us", tz="Europe/Zurich")),
        "day": pa.array([datetime.date(2026, 11, 27), None] * 2),
        "raw": pa.array([b"\xff", None, b"", b"x"]),
    }
)
nested = pa.table(
    {
        "texts": pa.array([["a", "b"], None, [], [None]]),
        "vector": pa.array([[1.0, 2.0]] * 4, pa.list_(pa.float32(), 2)),
        "meta": pa.array([{"x": 1, "y": ["z"]}, None, {"x": None, "y": None}, {"x": 2, "y": []}]),
        "map": pa.array([[("k", 1)], None, [], [("l", None)]], pa.map_(pa.string(), pa.int64())),
    }
)
words = pa.table({"word": pa.array(["x", "y", "x", None]).dictionary_encode(), "large": pa.array(["a"] * 4, pa.large_string())})
for name, table in {"text": text, "scalars": scalars, "nested": nested, "words": words}.items():
    seed("parquet", name, parquet(table))
for codec in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
    seed("parquet", codec, parquet(text, compression=codec, write_statistics=False, store_schema=False))
seed("parquet", "v2", parquet(nested, data_page_version="2.0", store_schema=False))
seed("parquet", "groups", parquet(text, row_group_size=1, store_schema=False))
for encoding, column in {
    "DELTA_BINARY_PACKED": pa.table({"a": pa.array([1, 5, 2, 9], pa.int64())}),
    "DELTA_BYTE_ARRAY": text,
    "DELTA_LENGTH_BYTE_ARRAY": text,
    "BYTE_STREAM_SPLIT": pa.table({"a": pa.array([0.5, 1.5], pa.float32())}),
}.items():
    seed("parquet", encoding.lower(), parquet(column, use_dictionary=False, column_encoding=encoding, store_schema=False))
seed("parquet", "int96", parquet(pa.table({"t": scalars["t"]}), use_deprecated_int96_timestamps=True, store_schema=False))

pieces = [["<unk>", 0.0], ["\u2581", -2.0], ["\u2581the", -3.0], ["e", -4.0], ["c", -4.5], ["a", -5.0], ["t", -5.5]]
unigram = {
    "version": "1.0",
    "added_tokens": [{"id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
    "post_processor": None,
    "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False},
}
vocabulary = {"<unk>": 0, "<s>": 1, **{f"<0x{byte:02X}>": 2 + byte for byte in range(256)}, "\u2581": 258, "t": 259, "h": 260, "th": 261}
llama = {
    "version": "1.0",
    "added_tokens": [{"id": 1, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocabulary, "merges": [["t", "h"]]},
}
for name, file in {"unigram": unigram, "llama": llama}.items():
    seed("tokenizer", name, json.dumps(file, ensure_ascii=False))
seed("tokenizer", "chars", '{"kind":"chars","chars":" abc"}')
seed("tokenizer", "words", '{"kind":"words","words":["a","b"]}')

seed("request", "tokens", '{"model":"m","input":[[1,2],[3]]}')
seed("request", "nulls", '{"input":"x","encoding_format":null,"input_type":"search_query","dimensions":null}')
seed("request", "many", '{"prompt":["a","b"],"n":2,"best_of":2,"logit_bias":{},"seed":-1,"temperature":0.5,"top_p":1,"stop":"\\n"}')

for name, lines in {"short": b"one\ntwo\n", "long": b"the cat sat on the mat\n" * 200}.items():
    seed("gzip", name, gzip.compress(lines, mtime=0))
    seed("zstd", name, pa.compress(lines, codec="zstd", asbytes=True))
seed("gzip", "members", gzip.compress(b"one\n", mtime=0) + gzip.compress(b"two\n", mtime=0) + bytes(16))
seed("zstd", "frames", b"".join(pa.compress(line, codec="zstd", asbytes=True) for line in (b"one\n", b"two\n")))
