"""Compiles the kernels with NVRTC, without a GPU, and prints registers, stack bytes and the instructions of each inner loop.

    python backends/cuda/instructions.py [ARCHITECTURE] [SOURCE…]        for example 90 attend scan

Needs a Python with PyTorch for CUDA, which brings NVRTC, and cuobjdump and nvdisasm in triton. Counted are the instructions on the
path of full tiles of aligned tensors, without the basic blocks that copy element by element, mask, or rescale a softmax.
"""
import ctypes, importlib.util, pathlib, re, subprocess, sys, tempfile
from collections import Counter

SOURCES = pathlib.Path(__file__).parent / "src"


def package(name):
    return pathlib.Path(importlib.util.find_spec(name).submodule_search_locations[0])


TOOLS = package("triton") / "backends/nvidia/bin"


def nvrtc():
    folder = package("nvidia.cu13") / "lib"
    ctypes.CDLL(str(next(folder.glob("libnvrtc-builtins.so.*"))), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(next(folder.glob("libnvrtc.so.*"))))


def inlined(name, seen):
    """The lines of a source with its headers inlined; `seen` holds the headers already included."""
    lines = []
    for line in (SOURCES / name).read_text().splitlines():
        header = re.match(r'#include "(\w+\.cuh)"', line)
        if header and header[1] not in seen:
            seen.add(header[1])
            lines += inlined(header[1], seen)
        elif not header and line != "#pragma once":
            lines.append(line)
    return lines


def variants(stem):
    """The sets of defines that the backend compiles a source with for training."""
    if any("HEAD" in line for line in inlined(stem + ".cu", set())):
        return [["REAL=bf16", f"HEAD={head}"] for head in (32, 64, 128)]
    return [["VEC=4"]] if "VEC" in (SOURCES / f"{stem}.cu").read_text() else [[]]


def compiled(library, stem, defines, architecture):
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), "\n".join(inlined(stem + ".cu", set())).encode(), b"", 0, None, None)
    options = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--disable-warnings", *(f"-D{define}" for define in defines)]
    failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*(o.encode() for o in options)))
    of = "ProgramLog" if failed else "CUBIN"
    getattr(library, f"nvrtcGet{of}Size")(program, ctypes.byref(size))
    out = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{of}")(program, out)
    if failed:
        sys.exit(f"{stem}.cu with {' '.join(defines)}: {out.value.decode()}")
    return out.raw


def tool(name, *words):
    return subprocess.run([TOOLS / name, *words], capture_output=True, text=True, check=True).stdout


def blocks(text):
    """Yields the basic blocks of a disassembly: (label, operations, target of the final branch or None)."""
    label, operations = None, []
    for line in text.splitlines():
        if at := re.match(r"(\.L_x_\d+):", line):
            if operations:
                yield label, operations, None
            label, operations = at[1], []
        elif op := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?\s*(\w[\w.]*)", line):
            operations.append(op[1])
            if op[1].startswith("BRA"):
                yield label, operations, re.search(r"\.L_x_\d+", line)[0]
                label, operations = None, []
    if operations:
        yield label, operations, None


def off_path(count):
    """Whether a basic block is off the path of full, aligned tiles: element-wise copies, masks, softmax rescaling."""
    elementwise_copy = count["LDG"] and count["STS"]
    return elementwise_copy or not count["HMMA"] and not count["MUFU"] and (count["FSEL"] >= 8 or count["FMUL"] >= 24)


def loops(text):
    """Yields (instructions on the path, HMMA among them) of each loop: a branch back to an earlier label."""
    found = list(blocks(text))
    at = {label: i for i, (label, _, _) in enumerate(found) if label}
    for end, (_, _, back) in enumerate(found):
        if at.get(back, end + 1) <= end:
            counts = [Counter(op.split(".")[0] for op in operations) for _, operations, _ in found[at[back]:end + 1]]
            taken = sum((count for count in counts if not off_path(count)), Counter())
            yield taken.total(), taken["HMMA"]


def main():
    architecture = sys.argv[1] if len(sys.argv) > 1 else "90"
    library = nvrtc()
    for stem in sys.argv[2:]:
        if not (SOURCES / f"{stem}.cu").exists():
            sys.exit(f"no {stem}.cu in {SOURCES}: name a source without its extension, for example attend")
    for stem in sys.argv[2:] or sorted(path.stem for path in SOURCES.glob("*.cu")):
        for defines in variants(stem):
            with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
                file.write(compiled(library, stem, defines, architecture))
                file.flush()
                used = dict(re.findall(r"Function (\w+):\s*(REG:\d+ STACK:\d+)", tool("cuobjdump", "--dump-resource-usage", file.name)))
                for part in tool("nvdisasm", "-c", file.name).split(".section\t.text.")[1:]:
                    name = re.match(r"\w+", part)[0]
                    counted = ", ".join(f"{n} ({mma} HMMA)" if mma else str(n) for n, mma in loops(part) if n > 4)
                    print(f"{name:22} {' '.join(defines):18} {used.get(name, ''):20} {counted}", flush=True)


main()
