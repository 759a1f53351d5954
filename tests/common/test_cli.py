"""What every command does alike: options, YAML files, one-line errors, exit codes."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.cli import as_yaml, parse, run_command, run_commands


@dataclass(frozen=True)
class Oven:
    """How hot it is."""

    degrees: float = 200.0
    """temperature, in degrees"""
    grill: bool = False
    """heat from above"""

    def __post_init__(self) -> None:
        if self.degrees > 300:
            raise ValueError("oven.degrees: no oven is hotter than 300")


@dataclass(frozen=True)
class Cake:
    """A cake."""

    name: str
    """what it is called, such as lemon"""
    layers: int = 2
    """number of layers"""
    fillings: list[str] = field(default_factory=list)
    """what comes between them"""
    box: Path | None = None
    """where it is kept"""
    oven: Oven = field(default_factory=Oven)
    """where it is made"""


def parsed(*arguments: object) -> Cake:
    return parse(Cake, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The one line with which these arguments are refused."""
    with pytest.raises(ValueError) as caught:
        parsed(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rest", [[], ["--layers", "3"], ["--name=lemon"]])
def test_a_switch_alone_is_on(rest: list[str]) -> None:
    assert parsed("--name=lemon", "--oven.grill", *rest).oven.grill
    assert not parsed("--name=lemon", "--oven.grill", "false", *rest).oven.grill


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: lemon\nlayers: 3\noven:\n  degrees: 180\n")
    return path


# ---- options


@pytest.mark.parametrize("option", ["--dry-run", "--dry-run=true", "--dry_run", "--dry_run=true"])
def test_words_of_an_option_are_joined_either_way(option: str) -> None:
    @dataclass(frozen=True)
    class Submission:
        """A submission."""

        dry_run: bool = False
        """only say it"""
        some_text: str = ""
        """a text"""

    assert parse(Submission, [option, "--some-text=a-b"]) == Submission(True, "a-b")


def test_options_become_typed_fields() -> None:
    made = parsed("--name", "lemon", "--layers", 3, "--fillings", "[jam, cream]", "--oven.degrees", 180)
    assert made == Cake("lemon", 3, ["jam", "cream"], None, Oven(180.0))


def test_fields_that_are_not_given_have_their_defaults() -> None:
    assert parsed("--name", "plain") == Cake("plain")


def test_a_path_becomes_a_path() -> None:
    assert parsed("--name", "x", "--box", "a/b").box == Path("a/b")


@pytest.mark.parametrize("text", ["7", "null", "1e3", "true", "a: b", "[x]", "#1", " "])
def test_a_text_stays_a_text(text: str) -> None:
    assert parsed("--name", text).name == text


def test_a_yaml_file_may_be_given_by_itself_or_as_an_option(recipe: Path) -> None:
    expected = Cake("lemon", 3, [], None, Oven(180.0))
    assert parsed(recipe) == parsed("--config", recipe) == expected


def test_an_option_wins_over_the_yaml_file(recipe: Path) -> None:
    made = parsed(recipe, "--layers", 4, "--oven.grill", "true")
    assert made == Cake("lemon", 4, [], None, Oven(180.0, True))


# ---- what is not right


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("nmae", "name"),
        ("layer", "layers"),
        ("oven.degres", "oven.degrees"),
        ("ofen.grill", "oven.grill"),
        ("degrees", "oven.degrees"),  # not itself
        ("gril", "oven.grill"),
    ],
)
def test_an_unknown_option_names_the_nearest(option: str, nearest: str) -> None:
    message = refusal("--name", "x", f"--{option}", 1)
    assert option in message and f"did you mean '{nearest}'?" in message


def test_what_is_missing_is_named_and_the_file_that_lacks_it(recipe: Path) -> None:
    assert refusal() == "missing: name"
    recipe.write_text("layers: 3\n")
    assert refusal(recipe) == f"{recipe}: missing: name"


def test_what_is_missing_comes_with_an_example_of_a_call(run: Callable) -> None:
    assert run(lambda _: None) == (
        2,
        "",
        "codebook: missing: name; for example: bake --name lemon (--help lists all options)\n",
    )


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("layer: 3", "layers"), ("oven: {degres: 3}", "degrees"), ("fillngs: [a]", "fillings")],
)
def test_an_unknown_key_in_a_yaml_file_names_the_nearest(key: str, nearest: str, recipe: Path) -> None:
    recipe.write_text(f"name: x\n{key}\n")
    assert f"did you mean '{nearest}'?" in refusal(recipe).replace("oven.", "")


def test_an_option_cut_short_is_unknown() -> None:
    """Or a misspelt one might be taken for another."""
    assert "did you mean 'layers'?" in refusal("--name", "x", "--lay", 1)


def test_an_option_like_no_other_points_to_help() -> None:
    assert "--help" in refusal("--name", "x", "--zzzzzz", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--layers", "many"], "layers: expected a whole number, not 'many'"),
        (["--layers", "2.5"], "layers: expected a whole number, not '2.5'"),
        (["--layers"], "--layers needs a value"),
        (["--fillings", "jam"], "fillings: expected a list, each item text, not 'jam'"),
        (["--oven.degrees", "hot"], "oven.degrees: expected a number, not 'hot'"),
        (["--oven.grill", "7"], "oven.grill: expected true or false, not '7'"),
        (["--oven.degrees", "301"], "oven.degrees: no oven is hotter than 300"),
        (["jam"], "'jam' is not an option (--help lists the options)"),
        (["--oven", "hot"], "--oven is not an option: give its keys, as --oven.KEY (see --help)"),
        (["--config"], "--config needs a value"),
    ],
)
def test_a_value_that_is_not_right_is_named_in_plain_words(arguments: list[str], says: str) -> None:
    assert refusal("--name", "x", *arguments) == says


def test_a_yaml_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "missing.yaml") in refusal(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: [", "is not valid YAML: line 1, column 8: "),
        (b"name: x\n  layers: 3\n", "is not valid YAML: line 2, column 9: "),
        (b"\0", "is not valid YAML: "),
        (b"\xff", "is not valid YAML: 'utf-8' codec "),
        (b"name: 2020-13-40\n", "is not valid YAML: "),
        (b"- name\n", "is not a configuration: "),
        (b"text\n", "is not a configuration: "),
        (b"", "is not a configuration: "),
    ],
)
def test_a_broken_yaml_file_is_named(content: bytes, says: str, recipe: Path) -> None:
    recipe.write_bytes(content)
    assert refusal(recipe).startswith(f"{recipe} {says}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("layers: many", "layers: expected a whole number, not 'many'"),
        ("fillings: jam", "fillings: expected a list, each item text, not 'jam'"),
        ("oven: hot", "oven: expected keys (degrees, grill), not 'hot'"),
        ("oven:", "oven: expected keys (degrees, grill), not nothing"),
        ("true: 3", "unknown key 'True' (--help lists what is known)"),
        ("oven: {degrees: hot}", "oven.degrees: expected a number, not 'hot'"),
        ("guests: 3", "unknown key 'guests' (--help lists what is known)"),
        ("oven: {degres: 3}", "unknown key 'oven.degres' (did you mean 'degrees'?)"),
    ],
)
def test_what_is_not_right_in_a_yaml_file_is_named_with_the_file(
    content: str, says: str, recipe: Path
) -> None:
    recipe.write_text(f"name: x\n{content}\n")
    assert refusal(recipe) == f"{recipe}: {says}"


def test_sections_may_share_their_keys(recipe: Path) -> None:
    """By the anchors and merges of YAML."""
    recipe.write_text("name: x\noven: {<<: &hot {degrees: 250}, grill: true}\n")
    assert parsed(recipe).oven == Oven(250.0, True)


def test_a_wrong_option_is_not_blamed_on_the_file(recipe: Path) -> None:
    assert refusal(recipe, "--layers", "many") == "layers: expected a whole number, not 'many'"


# ---- exit codes


def call_as(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> None:
    """Make this process look as if it were that program, with these arguments."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """A function that runs a command in this process: its exit code, what it printed, and its errors."""

    def run(main: Callable, *arguments: str) -> tuple[int, str, str]:
        call_as(monkeypatch, "bake", *arguments)
        with pytest.raises(SystemExit) as caught:
            run_command(main, Cake, "Bake a cake.")
        return (caught.value.code or 0, *capfd.readouterr())

    return run


def raising(error: BaseException) -> Callable:
    def main(_: Cake) -> None:
        raise error

    return main


def test_a_command_that_succeeds_exits_with_0_and_says_only_its_own(run: Callable) -> None:
    assert run(lambda cake: print(cake.name), "--name", "lemon") == (0, "lemon\n", "")


def test_a_command_may_choose_its_exit_code(run: Callable) -> None:
    assert run(lambda _: 3, "--name", "x")[0] == 3


@pytest.mark.parametrize(
    "error", [ValueError("no\n  flour"), OSError("no\n  flour"), FileNotFoundError("no flour")]
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(run: Callable, error: Exception) -> None:
    assert run(raising(error), "--name", "x") == (2, "", "codebook: no flour\n")


def test_bad_arguments_are_one_line_and_exit_code_2(run: Callable) -> None:
    code, out, errors = run(lambda _: None, "--nmae", "x")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("codebook: ") and "did you mean 'name'?" in errors


def test_a_failure_is_one_line_and_exit_code_1_and_tells_of_debug(run: Callable) -> None:
    assert run(raising(KeyError("flour")), "--name", "x") == (
        1,
        "",
        "codebook: KeyError: 'flour' (--debug shows where)\n",
    )


@pytest.mark.parametrize(("error", "code"), [(ValueError("no flour"), 2), (RuntimeError("no flour"), 1)])
def test_debug_shows_a_traceback_before_the_line(run: Callable, error: Exception, code: int) -> None:
    found, _, errors = run(raising(error), "--name", "x", "--debug")
    assert found == code
    assert errors.startswith("Traceback (most recent call last)")
    assert errors.splitlines()[-1].startswith("codebook: ") and "no flour" in errors.splitlines()[-1]


def test_an_interruption_is_one_line_and_exit_code_130() -> None:
    script = """
import signal, time
from dataclasses import dataclass
from common.cli import run_command

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it

@dataclass(frozen=True)
class Nothing:
    pass

def main(_):
    print("baking", flush=True)
    time.sleep(20)

run_command(main, Nothing, "Bake a cake.")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "baking\n"
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors.startswith("codebook: interrupted") and errors.count("\n") == 1


# ---- programs of several commands


@dataclass(frozen=True)
class Delivery:
    """How it comes to the table."""

    guests: int = 1
    """how many there are"""
    by_bicycle: bool = False
    """whether it is brought by bicycle"""


def bake(cake: Cake, delivery: Delivery) -> None:
    """Bake a cake for some guests."""
    print(f"{cake.name} for {delivery.guests}{', by bicycle' * delivery.by_bicycle}")


def eat(cake: Cake) -> int:
    """Eat it."""
    print(f"{cake.name} eaten")
    return 3


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """A function that gives a command in this process: its exit code, what it printed, and its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        call_as(monkeypatch, "kitchen.py", *map(str, arguments))
        with pytest.raises(SystemExit) as caught:
            run_commands([bake, eat], "Cakes.")
        return (caught.value.code or 0, *capfd.readouterr())

    return run


def test_the_first_argument_is_the_command_and_without_one_it_is_the_first(
    kitchen: Callable, recipe: Path
) -> None:
    assert kitchen("bake", recipe) == kitchen(recipe) == (0, "lemon for 1\n", "")
    assert kitchen("eat", recipe, "--name", "x") == (3, "x eaten\n", "")
    assert kitchen("--name=plain") == (0, "plain for 1\n", "")


def test_a_command_has_options_of_its_own(kitchen: Callable, recipe: Path) -> None:
    assert kitchen(recipe, "--guests", 4, "--by-bicycle")[1] == "lemon for 4, by bicycle\n"
    code, _, errors = kitchen("eat", recipe, "--guests", 4)
    assert code == 2 and "guests" in errors and errors.count("\n") == 1


def test_an_option_of_a_command_does_not_belong_in_the_file(kitchen: Callable, recipe: Path) -> None:
    recipe.write_text("name: lemon\nguests: 4\n")
    says = f"codebook: {recipe}: 'guests' does not belong in the file: give it as --guests\n"
    assert kitchen(recipe) == (2, "", says)


def test_an_unknown_command_names_the_nearest(kitchen: Callable) -> None:
    assert (
        kitchen("bak", "x")[2] == "codebook: 'bak' is neither a command nor a file (did you mean 'bake'?)\n"
    )
    assert kitchen("missing.yaml")[2] == "codebook: missing.yaml is not a file\n"


def test_help_lists_the_commands_with_what_they_do(kitchen: Callable) -> None:
    code, out, _ = kitchen("--help")
    assert code == 0 and out.startswith("usage: kitchen.py bake FILE [options]\n")
    assert "  bake    Bake a cake for some guests.\n  eat     Eat it.\n" in out
    assert "how many there are" in kitchen("bake", "--help")[1]
    assert "how many there are" not in kitchen("eat", "--help")[1]


def test_without_an_argument_one_line_shows_how_to_begin(kitchen: Callable) -> None:
    code, out, errors = kitchen()
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "for example: kitchen.py bake configs/" in errors and "--help" in errors


# ---- written and read again


def test_a_configuration_as_yaml_makes_the_same_one(tmp_path: Path) -> None:
    cake = Cake("a: b", 3, ["jam", "1"], Path("a/b"), Oven(180.5, True))
    (tmp_path / "cake.yaml").write_text(as_yaml(cake))
    assert parsed(tmp_path / "cake.yaml") == cake


def test_a_key_that_is_known_elsewhere_says_where(recipe: Path) -> None:
    recipe.write_text("name: x\ngrill: true\n")
    assert "did you mean 'oven.grill'?" in refusal(recipe)
    recipe.write_text("name: x\noven: {layers: 3}\n")
    assert "did you mean" not in refusal(recipe).replace("did you mean 'layers'", "")
