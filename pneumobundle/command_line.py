"""The command `pneumobundle`, made of the tables in `commands.py` and `options.py`.

Help, completion and everything that can be refused by name come without torch, which takes seconds to load.
"""

from __future__ import annotations

import os
import pkgutil
import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from pipeline.core.light_start import import_monai
from pipeline.core.nearest_name import did_you_mean
from pneumobundle.commands import BY_NAME, COMMANDS, GROUPS, OTHER_NAMES, Command
from pneumobundle.options import ALWAYS, DICTIONARY, FLAG, NUMBER, PATH, Option

PROGRAM = "pneumobundle"
ABOUT = "Lungs and COVID-19 infection in chest CT. For research; not a medical device."
COMPLETE = f"_{PROGRAM.upper()}_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
# What `main` does once the words are read: after click, whose own ends are other than this program's
Work = Callable[[], None]


class Name(click.ParamType):
    """A text without line breaks; where names are known for it, one of them, or several with spaces between."""

    name = "text"

    def __init__(self, option: Option) -> None:
        self.option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = in_one_line(self.option, str(value))
        if self.option.known and not self.option.open_ended:
            known = self.option.known()
            for name in (part for word in text.split() for part in word.split(">") if part):
                if name not in known:
                    self.fail(f"{self.option.variable} is {name!r}, {expected(name, known)}.", param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        *before, last = incomplete.split(" ")
        known = self.option.known() if self.option.known else []
        return [CompletionItem(" ".join([*before, name])) for name in known if name.startswith(last)]


class Path(click.ParamType):
    """A path, completed by the shell; what stands there, the commands look at themselves."""

    name = "path"

    def __init__(self, option: Option) -> None:
        self.option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return in_one_line(self.option, str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


def in_one_line(option: Option, text: str) -> str:
    """The text that was given for an option; BadParameter where it has a line break."""
    if "\n" in text or "\r" in text:
        raise click.BadParameter(f"{option.variable} has a line break; name it without.")
    return text


class InGroups(click.Command):
    """A command whose help has its options in groups, and examples."""

    def __init__(self, command: Command, **settings: Any) -> None:
        super().__init__(command.name, **settings)
        self.command = command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [*gathered(self.command, args)])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_group: dict[str, list[tuple[str, str]]] = {}
        for option, parameter in zip([*self.command.every_option, *ALWAYS], self.params, strict=False):
            if option.hidden:
                continue
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
            shown = f"--no-{option.name}" if option.default is True and option.kind == FLAG else names
            value = "" if option.kind == FLAG else f" {metavar(option)}"
            default = f"  [{option.told_default}]" if option.told_default and option.kind != FLAG else ""
            by_group.setdefault(option.group, []).append((shown + value, f"{option.meaning}{default}"))
        for group, rows in by_group.items():
            with formatter.section(group):
                formatter.write_dl(rows)
        if self.command.notes:
            formatter.write_paragraph()
            formatter.write_text(self.command.notes)
        if self.command.examples:
            with formatter.section("Examples"):
                for words, what in self.command.examples:
                    formatter.write_text(f"{PROGRAM} {words}")
                    with formatter.indentation():
                        formatter.write_text(what)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        words = self.command.words
        return ["[OPTIONS]", *([f"[{words.upper()}]..." if words not in self.command.needed else f"{words.upper()}..."]
                               if words else [])]  # fmt: skip


class InSections(click.Group):
    """All commands, in the groups of the table; a target's name of the Makefile is a command's name too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, OTHER_NAMES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [command for command in COMMANDS if command.runs and not command.hidden]
        width = max(len(command.name) for command in shown)
        for group, title in GROUPS.items():
            if rows := [(command.name.ljust(width), command.what) for command in shown if command.group == group]:
                with formatter.section(title):
                    formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write_text(f"`{PROGRAM} COMMAND --help` tells the options of one, with examples.")


def gathered(command: Command, words: Sequence[str]) -> Iterator[str]:
    """The words of a command line, where all that follow an option of several, up to the next option, are its one text.

    As they are where words without a name are something else: `compare --data scans anam_net unet_3d`.
    """
    several = {f"--{option.name}" for option in command.every_option if option.several}
    several &= {f"--{command.words}"} if command.words else several
    left = deque(words)
    while left:
        word = left.popleft()
        yield word
        if word in several:
            values = []
            while left and not left[0].startswith("-"):
                values.append(left.popleft())
            yield from [one_text(values)] if values else []


def one_text(words: Sequence[str]) -> str:
    """Several folders as one text; a single word stands as it is, since it may be several itself."""
    return words[0] if len(words) == 1 else shlex.join(words)


def expected(name: str, known: Iterable[str]) -> str:
    """What was expected instead of a name, and which it was perhaps meant to be."""
    choices = sorted(known)
    return f"expected one of: {', '.join(choices)}{did_you_mean(name, choices)}"


def metavar(option: Option) -> str:
    kind = {PATH: "PATH", NUMBER: "N", DICTIONARY: "DICT"}.get(option.kind, "TEXT")
    return f"{kind}..." if option.several else kind


def click_option(option: Option) -> click.Option:
    """An option as click has it, without a default: what was not given is filled in later."""
    if option.kind == FLAG:
        flags = f"--{option.name}/--no-{option.name}" if option.default is True else f"--{option.name}"
        return click.Option([flags], is_flag=True, default=option.default)
    kinds: dict[str, Any] = {NUMBER: int, PATH: Path(option)}
    kind = float if isinstance(option.default, float) else kinds.get(option.kind, Name(option))
    return click.Option([f"--{option.name}", option.key], type=kind, default=None, metavar=metavar(option))


def click_command(command: Command) -> click.Command:
    parameters: list[click.Parameter] = [click_option(option) for option in (*command.every_option, *ALWAYS)]
    if command.words:
        (option,) = [each for each in command.every_option if each.name == command.words]
        kind = Path(option) if option.kind == PATH else Name(option)
        parameters.append(click.Argument(["words"], nargs=-1, type=kind))

    def chosen(**values: Any) -> Work:
        given = filled(command, values)
        return lambda: work(command, given)

    return InGroups(command, params=parameters, callback=chosen, help=f"{command.what[0].upper()}{command.what[1:]}.")


def filled(command: Command, values: dict[str, Any]) -> SimpleNamespace:
    """What a command is given: of every option its value, or its default.

    UsageError where something is needed or said twice. `given_words` are the words without a name, one by one.
    """
    words = list(values.pop("words", ()))
    if words:
        key = command.words.replace("-", "_")
        if values[key] is not None:
            raise click.UsageError(f"{key.upper()} is given twice, as {' '.join(words)} and by --{command.words}.")
        (wordy,) = [option for option in command.every_option if option.name == command.words]
        values[key] = one_text(words) if wordy.several else " ".join(words)
    for option in command.every_option:
        if option.name in command.needed and not values[option.key]:
            raise click.UsageError(f"{option.variable} is needed: {option.meaning}.")
        if values[option.key] is None or values[option.key] == "":
            values[option.key] = option.default
    return SimpleNamespace(**values, given_words=words)


def work(command: Command, given: SimpleNamespace) -> None:
    """Do it, in this process."""
    from pneumobundle.run.process import set_up

    set_up(given)
    if command.only_segments:
        import_monai()
    pkgutil.resolve_name(f"{PROGRAM}.run.{command.runs}")(given)


def command_group() -> click.Group:
    group = InSections(PROGRAM, help=ABOUT, commands={each.name: click_command(each) for each in _commands()})
    group.params.append(click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
                                     help="Versions of this program, torch and MONAI."))  # fmt: skip
    group.add_command(click.Command("completion", params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
                                    callback=_completion, hidden=True))  # fmt: skip
    return group


def _commands() -> list[Command]:
    return [command for command in COMMANDS if command.runs and not command.hidden]


def _version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from pneumobundle.versions import versions

        click.echo(versions())
        context.exit()


def _completion(shell: str) -> Work:
    """What a shell reads to complete this program's words: `eval "$(pneumobundle completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}.")
    source = kind(command_group(), {}, PROGRAM, COMPLETE).source()
    return lambda: click.echo(source)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the words of the command line, and do what they say.

    Ends with status 0; 1 where something of what was asked could not be done, 2 where it was asked wrongly.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    hidden = BY_NAME.get(words[0]) if words else None
    try:
        if hidden is not None and hidden.hidden:
            work(hidden, SimpleNamespace(words=words[1:]))
            return
        if not os.environ.get(COMPLETE) and not words:
            words = ["--help"]
        chosen = command_group().main(words, prog_name=PROGRAM, complete_var=COMPLETE, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        raise SystemExit(130) from None
    if callable(chosen):
        chosen()
    elif isinstance(chosen, int) and chosen:
        raise SystemExit(chosen)
