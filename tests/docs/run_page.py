"""Runs the examples of one Markdown page, or one script, in the current folder: `python run_page.py PAGE`.

The test starts it as a process of its own, so that an example runs as it does for a reader. In the page:

- ```python blocks share one namespace; a ```text block right after one is what it prints. A block that imports Flax or
  PyTorch is skipped where that is not installed.
- ```console blocks hold commands after `$ ` and what they print. `$ echo $?` shows the exit code of the command before
  it; without that it must be 0. `spectralbias run` is shrunk, unless it says `--quick`.
- ```toml blocks with a title are files.
- ```sh blocks are commands for a terminal that are not run here; the test compares them with `.ci/run`.

Expected output may leave out parts with `...`; line breaks and runs of spaces do not count.
"""

import contextlib
import doctest
import importlib.util
import io
import re
import runpy
import shlex
import sys
from pathlib import Path

import msgspec

from spectralbias import cli, runs

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(r"^(?:import|from) (flax|torch)\b", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SMALL = ["--steps", "20", "--width", "16", "--drift-times", "2"]
SMALL_PROBLEM = {
    "harmonics": ["--num-samples", "60", "--num-test", "20"],
    "signal": ["--num-samples", "64"],
    "image": ["--size", "12"],
    "table": ["--max-samples", "60"],
    "digits": ["--test-fraction", "0.98"],
}


def say(text: str) -> None:
    print(text, flush=True)


def check(want: str, got: str, what: str) -> None:
    """Fail where what was printed is not what the page shows."""
    if not doctest.OutputChecker().check_output(want.strip() + "\n", got.strip() + "\n", FLAGS):
        sys.exit(f"{what}\n\nthe page shows:\n{want}\n\nit printed:\n{got}")


def shrunk(arguments: list[str]) -> list[str]:
    """A run that takes seconds; later options win."""
    if arguments[:1] != ["run"] or {"--quick", "--resume", "--help"} & set(arguments):
        return arguments
    kind = arguments[1] if len(arguments) > 1 and arguments[1] in SMALL_PROBLEM else "harmonics"
    from_file = len(arguments) > 1 and arguments[1].endswith(".toml")
    return [*arguments, *SMALL, *([] if from_file else SMALL_PROBLEM[kind])]


def console(block: str) -> None:
    """Run the commands of a block and compare what they print."""
    code = 0
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block must begin with a command:\n{block}"
    for index, part in enumerate(parts[1:], 1):
        command, _, want = part.partition("\n")
        while command.endswith("\\"):
            continued, _, want = want.partition("\n")
            command = command[:-1] + continued
        say(f"$ {command}")
        if command == "echo $?":
            got = str(code)
        else:
            program, *arguments = shlex.split(command, comments=True)
            assert program == "spectralbias", f"the runner does not know the command {command!r}"
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                try:
                    code = cli.main(shrunk(arguments))
                except SystemExit as stop:  # --help
                    code = stop.code or 0
            got = output.getvalue()
            asked = parts[index + 1].startswith("echo $?") if index + 1 < len(parts) else False
            if code and not asked:
                sys.exit(f"{command} ended with code {code}:\n{got}")
        if want.strip():
            check(want, got, command)


def python(block: str, namespace: dict, want: str | None) -> None:
    """Run a block and compare what it prints, if the page shows that."""
    say(block)
    missing = [name for name in OPTIONAL.findall(block) if importlib.util.find_spec(name) is None]
    if missing:
        say(f"(skipped: {missing[0]} is not installed)")
        return
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block, "<page>", "exec"), namespace)
    if want is not None:
        check(want, output.getvalue(), block)


def shrink_defaults() -> None:
    """`runs.default_config` gives small runs, except where the page asks for quick ones."""
    original = runs.default_config

    def small(kind: str = "harmonics", *, quick: bool = False, **problem):
        config = original(kind, quick=quick, **problem)
        if quick:
            return config
        replace = msgspec.structs.replace
        return replace(
            config,
            problem=replace(config.problem, size=12) if kind == "image" else config.problem,
            model=replace(config.model, width=64),
            training=replace(config.training, steps=20, chunk_steps=10),
        )

    runs.default_config = small


def main(page: Path) -> None:
    shrink_defaults()
    if page.suffix == ".py":
        runpy.run_path(str(page), run_name="__main__")
        return
    text = page.read_text(encoding="utf-8")
    namespace: dict = {"__name__": "page"}
    blocks = list(BLOCK.finditer(text))
    fences = len(re.findall(r"^\s*```", text, flags=re.MULTILINE))
    assert fences == 2 * len(blocks), f"{fences} fences make {len(blocks)} blocks: one is indented or not closed"
    for index, block in enumerate(blocks):
        language, title, content = block.groups()
        if language == "python":
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            shown = (
                following is not None and following[1] == "text" and not text[block.end() : following.start()].strip()
            )
            python(content, namespace, following[3] if shown and following is not None else None)
        elif language == "console":
            console(content)
        elif language == "toml":
            named = re.search(r'title="([^"]+)"', title)
            assert named, f"a TOML block needs a title, which is its file name:\n{content}"
            Path(named[1]).write_text(content, encoding="utf-8")
        else:
            assert language in ("text", "sh", "bibtex"), f"the runner does not know blocks of {language!r}"
    say(f"{len(blocks)} blocks")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
