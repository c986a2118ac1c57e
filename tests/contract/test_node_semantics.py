"""What no row can say of the Node.js bootstrap: sizes, order, standstill, starts ahead of need."""

import subprocess
from pathlib import Path

import pytest

from lamington.functions.runtimes import RuntimeProgram, start_argv
from node_process import NodeProcess

STREAMED = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const piece = Buffer.alloc(event.piece, 'x');
  for (let n = 0; n < event.pieces; n++) stream.write(piece);
  stream.end();
});
"""


def resident_kb(process: NodeProcess) -> int:
    text = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def test_payload_of_six_megabytes_passes_both_ways(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, {"app.js": "exports.handler = async (e) => e"}) as process:
        process.start()
        event = {"text": "é" * (3 * 1024 * 1024)}
        assert process.invoke(event).value == event
        assert process.invoke({"a": 1}).value == {"a": 1}


def test_piece_of_a_stream_is_split_into_frames(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, {"app.js": STREAMED}) as process:
        process.start()
        answer = process.invoke({"piece": 200_000, "pieces": 2})
        assert max(len(each) for each in answer.chunks) == 65536
        assert sum(len(each) for each in answer.chunks) == 400_000


def test_stream_that_nobody_reads_takes_no_memory(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, {"app.js": STREAMED}) as process:
        process.start()
        before = resident_kb(process)
        process.send({"piece": 1 << 20, "pieces": 200})
        for _ in range(100):
            process.frame()
        assert resident_kb(process) - before < 60_000
        kinds = []
        while "result" not in kinds:
            kinds.append(process.frame()[0])
        assert kinds.count("stream_chunk") == 200 * 16 + 1 - 100


def test_output_is_written_before_the_reply(tmp_path: Path) -> None:
    code = "exports.handler = async () => { console.log('a'); process.stdout.write('b\\n') }"
    with NodeProcess(tmp_path, {"app.js": code}) as process:
        process.start()
        process.invoke()
        assert process.log().endswith("\ta\nb\n")


def test_programs_of_the_function_do_not_get_the_engines_socket(tmp_path: Path) -> None:
    code = """
const { execFileSync } = require('child_process');
exports.handler = async () => execFileSync('ls', ['-l', '/proc/self/fd']).toString();
"""
    with NodeProcess(tmp_path, {"app.js": code}) as process:
        process.start()
        assert " 3 -> socket:" not in process.invoke().value


def test_nothing_runs_between_invocations(tmp_path: Path) -> None:
    code = """
let ticks = 0;
exports.handler = async (event) => {
  if (!event.ask) { setInterval(() => { ticks += 1 }, 1); return 0 }
  return ticks;
};
"""
    with NodeProcess(tmp_path, {"app.js": code}) as process:
        process.start()
        process.invoke()
        before = Path(f"/proc/{process.process.pid}/stat").read_text().split()[13:15]
        subprocess.run(["sleep", "0.2"], check=True)
        assert Path(f"/proc/{process.process.pid}/stat").read_text().split()[13:15] == before
        assert process.invoke({"ask": True}).value <= 2


@pytest.mark.parametrize("runtime", ["nodejs6.10", "nodejs20.x", "nodejs24.x"])
def test_process_ahead_of_need_becomes_any_function(tmp_path: Path, runtime: str) -> None:
    code = """
const dep = require('dep');
exports.handler = (event, context) => {
  const seen = [dep, process.cwd(), process.env, new Date(0).getHours(), process.argv.length];
  return context.succeed ? context.succeed(seen) : seen;
};
"""
    files = {"app.js": code, "opt/nodejs/node_modules/dep/index.js": "module.exports = 'layer'"}
    with NodeProcess(
        tmp_path, files, runtime=runtime, variables={"TZ": "Asia/Tokyo", "A": "b"}, spare=True
    ) as process:
        process.configure()
        assert process.start().kind == "ready"
        dep, directory, variables, hours, arguments = process.invoke().value
    assert (dep, directory, hours, arguments) == ("layer", str(tmp_path), 9, 2)
    assert variables == process.variables


def test_memory_of_the_function_bounds_the_heap(tmp_path: Path) -> None:
    code = "exports.handler = async () => require('v8').getHeapStatistics().heap_size_limit"
    with NodeProcess(tmp_path, {"app.js": code}, memory_mb=512) as process:
        process.start()
        assert 460 <= process.invoke().value / (1 << 20) <= 580


@pytest.mark.parametrize(
    ("wrapper", "status", "said"),
    [
        ('#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n', 0, "yes boot"),
        (None, 127, "{root}/wrap: does not exist"),
        ("", 126, "{root}/wrap: is not an executable"),
    ],
)
def test_wrapper_starts_the_runtime(
    tmp_path: Path, wrapper: str | None, status: int, said: str
) -> None:
    path = tmp_path / "wrap"
    if wrapper is not None:
        path.write_text(wrapper)
        path.chmod(0o755 if wrapper else 0o644)
    program = RuntimeProgram(
        identifier="python3.12", family="python", argv=("/bin/sh", "-c", "echo $WRAPPED $0", "boot")
    )
    argv = start_argv(program, 128, {"AWS_LAMBDA_EXEC_WRAPPER": str(path)})
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert ended.stdout == said.replace("{root}", str(tmp_path)) + "\n"


def test_record_with_line_breaks_is_one_line_of_output(tmp_path: Path) -> None:
    code = "exports.handler = async () => { console.log('a\\nb', new Error('x')) }"
    with NodeProcess(tmp_path, {"app.js": code}) as process:
        process.start()
        process.invoke()
        assert process.process.stdout is not None
        written = process.process.stdout.read()
    assert written.count(b"\n") == 1
    assert b"a\x1eb" in written


def test_event_is_what_json_says(tmp_path: Path) -> None:
    code = {"app.js": "exports.handler = async (e) => [e, typeof e]"}
    with NodeProcess(tmp_path, code) as process:
        process.start()
        assert process.invoke(b'"\xc3\xa9"').value == ["é", "string"]
        assert process.invoke(b"0").value == [0, "number"]
        assert process.invoke(b"null").value == [None, "object"]


def test_event_that_is_not_json_is_an_error_of_the_invocation(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, {"app.js": "exports.handler = async (e) => e"}) as process:
        process.start()
        failed = process.invoke(b"{")
        assert (failed.kind, failed.value["errorType"]) == ("error", "SyntaxError")
        assert process.invoke({"a": 1}).value == {"a": 1}
