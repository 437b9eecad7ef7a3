"""Whole Ascend C programs with their own main(), run as they are."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npufa import sim
from npufa.sim import profile

HERE = Path(__file__).parent


def line_of(name: str, kernel: str) -> int:
    """Number of the first line after `kernel` that is marked as the mistake."""
    lines = (HERE / name).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if kernel in line)
    return next(i for i, line in enumerate(lines[start:], start + 1) if "// here" in line)


def with_setting(name: str, value: str) -> dict[str, str]:
    """The environment of a process of its own: settings are read once."""
    return {**os.environ, f"NPUFA_SIM_{name}": value}


@pytest.fixture
def files(tmp_path):
    x, y = np.random.default_rng(1).standard_normal((2, 1024), np.float32)
    x.tofile(tmp_path / "x")
    y.tofile(tmp_path / "y")
    return x, y, [str(tmp_path / name) for name in "xyz"]


def test_template_kernel_with_a_struct_and_files(files, capfd):
    x, y, paths = files
    assert sim.run_program([HERE / "scaled_add.asc"], paths) == 0
    np.testing.assert_array_equal(np.fromfile(paths[2], np.float32), 2 * x + np.float32(0.5) * y)
    out, err = capfd.readouterr()
    assert out == "4 blocks, text with <<< in it\n" and err == ""


def test_time_of_a_program(files):
    report = profile(sim.run_program, [HERE / "scaled_add.asc"], files[2])
    assert [kernel.name for kernel in report.kernels] == ["scaled_add<float, 256u>", "count_blocks"]
    assert report.result == 0 and report.us > 0


def test_command_line(files, tmp_path):
    """-I and -D, several sources, a trace, and the program's exit status."""
    source = tmp_path / "source"
    (source / "headers").mkdir(parents=True)
    shutil.copy(HERE / "scale.h", source / "headers")
    text = (HERE / "scaled_add.asc").read_text()
    (source / "main.asc").write_text(text.replace("argc != 4", "argc != ARGUMENTS || !Loaded()").replace(
        "namespace {", "bool Loaded();\nnamespace {", 1))  # fmt: skip
    (source / "loaded.cpp").write_text("bool Loaded() { return true; }\n")
    command = [sys.executable, "-m", "npufa.sim", "run", "-I", source / "headers", "-D", "ARGUMENTS=4", "--trace",
               tmp_path / "trace.json", "--html", tmp_path / "page.html", source / "main.asc",
               source / "loaded.cpp", *files[2]]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "scaled_add" in done.stdout and "scaled_add" in (tmp_path / "trace.json").read_text()
    assert "<h1>main.asc" in (page := (tmp_path / "page.html").read_text()) and "scaled_add&lt;float, 256u&gt;" in page
    np.testing.assert_array_equal(np.fromfile(files[2][2], np.float32), 2 * files[0] + np.float32(0.5) * files[1])


def test_findings_of_a_profile(tmp_path, capfd):
    """They stay with the profile, and stand on its page, also where the kernel did not come to its end."""
    report = profile(sim.run_program, [HERE / "compiler_sync.asc"], auto_sync=False)
    assert report.kernels and any(not finding.note for finding in report.findings)
    assert {finding.kernel for finding in report.findings} <= {kernel.name for kernel in report.kernels}
    report = profile(sim.run_program, [HERE / "mistakes.asc"], ["null_pointer"])
    (finding,) = report.findings
    line = line_of("mistakes.asc", "void null_pointer")
    assert report.kernels == () and (finding.kernel, finding.check, finding.line) == ("null_pointer", "pointer", line)
    report.save_html(tmp_path / "page.html")
    row = (tmp_path / "page.html").read_text().split(f'id="file1-line{line}" class="problem"', 1)[1]
    assert row.index("gm.SetValue(0, *tiling)") < row.index("null pointer") < row.index(f'id="file1-line{line + 1}"')


def test_no_kernel_comes_to_its_end(tmp_path):
    """Page and exit status are those of a program that failed; the trace says why there is none."""
    files = [tmp_path / "trace.json", tmp_path / "page.html"]
    command = [sys.executable, "-m", "npufa.sim", "run", "--trace", files[0], "--html", files[1],
               HERE / "mistakes.asc", "null_pointer"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no kernel" in done.stderr.splitlines()[-1] and not files[0].exists()
    assert "null pointer" in files[1].read_text()


def test_page_of_a_script_that_raises(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\nfrom npufa import sim\n"
        f"kernels = sim.compile_kernel({str(HERE / 'mistakes.asc')!r}, kernels=['null_pointer'])\n"
        "kernels.launch('null_pointer', [sim.Output(np.zeros(16, np.int32)), None])\n"
    )
    command = [sys.executable, "-m", "npufa.sim", "run", "--html", tmp_path / "page.html", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "KernelError" in done.stderr
    assert "null pointer" in (tmp_path / "page.html").read_text()


def test_contexts():
    assert sim.run_program([HERE / "contexts.asc"]) == 0


def test_kinds_of_kernels(capfd):
    assert sim.run_program([HERE / "kinds.asc"]) == 0
    one_to_two, one_to_one, cube, vector, undeclared, overloaded = capfd.readouterr().out.splitlines()
    assert one_to_two == "1 102 0 0 1 2 103 104 "
    assert one_to_one == "1 102 0 0 1 102 0 0 "
    assert cube == "1 102 0 0 0 0 0 0 "
    assert vector == "0 0 0 0 1 102 0 0 "
    assert undeclared == cube
    assert overloaded == "0 0 0 0 0 1 1 1 "


@pytest.mark.parametrize("seed", [pytest.param("0", marks=pytest.mark.slow(group="limits")), "1"])
def test_flags_in_global_memory(seed):
    """Also when another host thread stores a word between a core's look at its order and at its value."""
    text = f"from npufa import sim; exit(any(sim.run_program(['{HERE / 'flags.asc'}']) for _ in range(5)))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True,
                          env=with_setting("SHUFFLE", seed))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "kernel, check, words",
    [
        ("division", "division", "divides an integer by zero"),
        ("null_pointer", "pointer", "null pointer"),
        ("fault_in_destructor", "deadlock", "MTE2_V id 2"),
        ("endless_scalar", "endless-loop", "million cycles"),
        ("recursion", "stack", "the stack is full"),
        ("assertion", "assert", "zero is 0"),
        ("assertion_of_c", "assert", "ends itself"),
        ("past_the_end", "out-of-bounds", "which has 64 bytes"),
    ],
)
def test_mistakes_of_scalar_code(kernel, check, words, capfd):
    """Each is reported with its line and core; the process goes on."""
    assert sim.run_program([HERE / "mistakes.asc"], [kernel]) == 1
    report = capfd.readouterr().err
    assert f"[{check}]" in report and words in report and "(group 0 vector " in report
    line = line_of("mistakes.asc", "Deep(volatile" if kernel == "recursion" else f"void {kernel}(")
    assert f"mistakes.asc:{line}:" in report
    assert report.count("found 1 problem") == 1, report


@pytest.mark.parametrize("kernel, patience, ends", [
    ("endless_tiles", 1000, False), ("long_way", 50, True), ("long_way", 10, False)])
def test_programs_that_get_nowhere(kernel, patience, ends):
    """What moves on in global memory may take more instructions than may pass without."""
    command = [sys.executable, "-m", "npufa.sim", "run", HERE / "mistakes.asc", kernel]
    done = subprocess.run(command, capture_output=True, text=True, env=with_setting("PATIENCE", str(patience)))
    assert done.returncode == (not ends), done.stderr
    place = f"[endless-loop] {HERE / 'mistakes.asc'}:{line_of('mistakes.asc', f'void {kernel}(')}: "
    words = f"issued {patience} instructions since it last came to a new place in global memory"
    assert (place in done.stderr and words in done.stderr) != ends, done.stderr


@pytest.mark.parametrize(
    "kernel, check, words",
    [
        ("missing_wait", "race", "Adds src DataCopy SetFlag<HardEvent::MTE2_V>"),
        ("missing_enque", "queue", "DeQue empty EnQue"),
        ("double_free", "queue", "FreeTensor once"),
        ("missing_free", "queue", "AllocTensor every buffer FreeTensor"),
        ("wrong_queue", "race", "Adds src SetFlag<HardEvent::MTE2_V>"),
        ("ub_overflow", "out-of-bounds", "DataCopy dst UB 196864) 196608"),
        ("misaligned", "misaligned", "Adds 32 bytes"),
        ("length_of_a_row", "parameter", "DataCopy 200 DataCopyPad"),
        ("mask_of_halves", "parameter", "Adds mask 128 256 bytes"),
        ("repeat_stride", "out-of-bounds", "Adds UB 384) 256"),
        ("other_event", "deadlock", "WaitFlag MTE2_V id 1"),
        ("flag_left", "flag-left-set", "SetFlag V_MTE2 id 1"),
        ("flag_in_a_loop", "flag-set-twice", "SetFlag V_MTE2 id 0"),
        ("missing_barrier", "race", "Muls src PipeBarrier<PIPE_V>()"),
        ("last_tile", "out-of-bounds", "DataCopy src GM 2304) 2048"),
        ("null_tensor", "out-of-bounds", "DataCopy src null"),
        ("nothing_computed", "unwritten", "DataCopy src UB"),
        ("same_block", "race", "DataCopy dst GM SyncAll"),
        ("missing_sync_all", "race", "DataCopy src GM SyncAll"),
        ("sync_all_of_one", "deadlock", "SyncAll only 1"),
    ],
)
def test_mistakes_of_beginners(kernel, check, words, capfd):
    """Each is reported with its line, its core and what to do."""
    assert sim.run_program([HERE / "beginners.asc"], [kernel], auto_sync=kernel != "missing_barrier") == 1
    report = capfd.readouterr().err
    start = rf"{check}\] \S*beginners.asc:{line_of('beginners.asc', f'void {kernel}(')}: "
    problem = next((part for part in report.split("\n  [") if re.match(start, part)), "")
    assert not [word for word in words.split() if word not in problem], report
    assert re.search(r"\(group 0 vector [01]\)", problem), report


def test_cores_that_write_the_same(capfd):
    assert sim.run_program([HERE / "beginners.asc"], ["all_clear"]) == 0
    line = line_of("beginners.asc", "void all_clear(")
    report = capfd.readouterr().err
    assert f"beginners.asc:{line}: DataCopyPad dst" in report and "writes the same bytes" in report, report


def test_synchronisation_of_the_compiler(capfd):
    assert sim.run_program([HERE / "compiler_sync.asc"]) == 0
    report = capfd.readouterr().err
    assert "no problem" in report and "note: declared-size" in report
    assert sim.run_program([HERE / "compiler_sync.asc"], auto_sync=False) == 1
    assert "PipeBarrier<PIPE_V>" in capfd.readouterr().err


def test_cost_of_the_compilers_synchronisation():
    with_sync = profile(sim.run_program, [HERE / "compiler_sync.asc"])
    without = profile(sim.run_program, [HERE / "compiler_sync.asc"], auto_sync=False)
    assert with_sync.us > without.us
    assert profile(sim.run_program, [HERE / "compiler_sync.asc"], check=False).us == with_sync.us


@pytest.mark.parametrize(
    "text, words",
    [
        ("int main() { return undefined; }", "undefined"),
        ('#include "kernel_operator.h"\n__global__ __vector__ void k() {}\nint main() { k<<<1>>(); }', "2.asc:3"),
        ('#include "kernel_operator.h"\n__global__ __mix__(2, 1) void k() {}\nint main() {}',
         "is not a kind of kernel"),
        ("void aclrtNoSuchCall(); int main() { aclrtNoSuchCall(); }", "aclrtNoSuchCall"),
        ("int not_main() { return 0; }", "no main()"),
    ],
)
def test_errors(text, words, tmp_path):
    path = tmp_path / "2.asc"
    path.write_text(text)
    with pytest.raises((sim.CompileError, sim.ProgramError), match=words.replace("(", "\\(").replace(")", "\\)")):
        sim.run_program([path])
