"""`lamington explain` and `lamington render` as somebody types them."""

import json
from pathlib import Path

from example_copies import ExampleCopies
from processes import get, run_lamington, up


def test_request_to_a_running_service_is_explained(example: ExampleCopies) -> None:
    root = example("bakery")
    with up(root) as running:
        ended = run_lamington("explain", "GET", "/cakes?limit=1", cwd=root)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("GET /live/cakes?limit=1 → 200  ")
        assert '"limit": 1' in ended.stdout
        assert "response selection  200 the function gave no error message" in ended.stdout

        refused = run_lamington("explain", "/nowhere", "--json", cwd=root)
        assert refused.returncode == 1
        assert json.loads(refused.stdout)["refusal"]["type"] == "MISSING_AUTHENTICATION_TOKEN"

        first = run_lamington("explain", "--live", "--json", cwd=root)
        assert (first.returncode, first.stdout) == (0, "")
        get(f"http://127.0.0.1:{running.port}/cakes?limit=2")
        second = run_lamington("explain", "--live", "--json", cwd=root)
        (line,) = second.stdout.splitlines()
        assert json.loads(line)["request"]["query"] == [["limit", "2"]]
        assert run_lamington("explain", "--live", "--off", cwd=root).returncode == 0


def test_service_that_is_not_up_is_raised_to_explain_a_request(example: ExampleCopies) -> None:
    root = example("hello")
    ended = run_lamington("explain", "/hello", "--json", cwd=root)
    assert ended.stdout, ended.stderr
    assert json.loads(ended.stdout)["steps"][0]["name"] in ("match", "gateway_response")
    assert not (root / ".lamington" / "engine.json").exists()


def test_template_is_rendered_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "t.vtl").write_text('{"id": "$input.params(\'id\')", "n": $input.json(\'$.n\')}')
    ended = run_lamington("render", "t.vtl", "--body", '{"n": [1]}', "--path", "id=7", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, '{"id": "7", "n": [1]}')


def test_template_that_does_not_compile_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "t.vtl").write_text("{\n  #set($x = )\n}")
    ended = run_lamington("render", "t.vtl", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: t.vtl:2:")
