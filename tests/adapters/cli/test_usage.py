import pytest

import qcore as core

COMMANDS = [
    "quantize",
    "calibrate",
    "inspect",
    "merge",
    "compare",
    "convert",
    "methods",
    "backends",
    "demo",
]
SCREEN = 24, 80


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_help_fits_on_a_screen_and_has_an_example(qcore, monkeypatch, command) -> None:
    rows, columns = SCREEN
    if command == ("quantize",):
        rows += 10  # it has most to choose
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = qcore(*command, "--help")
    assert (code, err) == (0, "")
    assert "\nexample:\n  qcore " in out
    assert len(out.splitlines()) <= rows
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("command", ["quantize", "calibrate"])
def test_what_few_need_is_shown_on_demand(qcore, command) -> None:
    assert "--include" not in qcore(command, "--help").out
    code, out, err = qcore(command, "--help-all")
    assert (code, err) == (0, "")
    assert "more arguments:" in out
    assert "--include" in out


@pytest.mark.parametrize("command", ["quantize", "calibrate", "inspect", "compare"])
def test_the_help_on_all_is_offered_beside_help(qcore, command) -> None:
    lines = qcore(command, "--help").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("  -h, --help "))
    assert lines[place + 1].startswith("  --help-all ")


def test_help_lists_every_command(qcore) -> None:
    assert all(f"    {command} " in qcore("--help").out for command in COMMANDS)


def test_the_version_is_told(qcore) -> None:
    assert qcore("--version").out.startswith("qcore-quant 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "qcore: the following arguments are required: COMMAND"),
        (["quantise"], "qcore: argument COMMAND: invalid choice: 'quantise'"),
        (["quantize"], "qcore quantize: the following arguments are required: MODEL"),
        (
            ["quantize", "m", "-o", "o"],
            "one of the arguments --data --reader --statistics",
        ),
        (["quantize", "m", "--data", "d"], "--output is required, unless with --plan"),
        (["quantize", "m", "--dat", "d"], "unrecognized arguments: --dat d"),
        (["quantize", "m", "--override", "x"], "must be TENSOR:KEY=VALUE; got 'x'"),
        (["quantize", "m", "--override", "x=3"], "must be TENSOR:KEY=VALUE; got"),
        (
            ["calibrate", "m", "-o", "o"],
            "one of the arguments --data --reader is required",
        ),
        (["calibrate", "m", "--bins", "1"], "must be a whole number of at least 2"),
        (["inspect", "f", "--percentile", "101"], "from 0 to 100; got '101'"),
        (["inspect", "f", "--percentile", "1,2,3"], "must be a number, or LO,HI"),
        (["inspect", "f", "--percentile", "nan"], "from 0 to 100"),
        (["inspect", "f", "--option", "stride"], "must be NAME=VALUE; got 'stride'"),
        (["demo", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_usage_is_answered_in_one_line(qcore, arguments, said: str) -> None:
    code, out, err = qcore(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert err.rstrip().endswith("--help)")


def test_methods_are_listed_with_their_options(qcore) -> None:
    code, out, _ = qcore("methods")
    assert code == 0
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [head.partition(":")[0] for head in heads] == list(core.methods())
    expected = "entropy: reads Histogram; options: start_bin, stride, num_levels"
    assert expected in heads


def test_backends_are_listed_with_what_serves_their_kernels(qcore) -> None:
    code, out, _ = qcore("backends")
    assert code == 0
    assert ["count", "numpy.counting"] in [line.split() for line in out.splitlines()]
