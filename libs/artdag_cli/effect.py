"""``artdag effect``: write an effect of one's own, try it, upload it."""

from __future__ import annotations

import getpass
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from artdag_cli import completion
from artdag_cli.client import Client
from artdag_cli.effect_template import template
from artdag_cli.exits import NO_FILE, WRONG_ARGUMENTS
from artdag_cli.messages import console
from artdag_cli.options import Json, Limit, Mine, Server, State, state_folder
from artdag_cli.printing import columns, gathered, more, show
from artdag_client.saving import check_place
from artdag_common.effects.base import Effect, EffectParams
from artdag_common.effects.uploaded import NAME, look_in, parse
from artdag_common.errors import ArtdagError, InvalidEffectError

CLIP_FRAMES = 60
TIMED_FRAMES = 60

app = typer.Typer(no_args_is_help=True, help="Effects: write one of your own, try it, upload it; list, look, delete.")

EffectName = Annotated[
    str,
    typer.Argument(metavar="EFFECT", help="Name or CID of an effect.", autocompletion=completion.effect_names),
]
File = Annotated[Path, typer.Argument(help="The effect: one Python file.", exists=True, dir_okay=False, readable=True)]


class EffectFileError(ArtdagError):
    """A file of effects cannot be written or used; the message says why."""

    exit_code = WRONG_ARGUMENTS


class EffectInTheWayError(EffectFileError):
    """There is a file already where an effect is to be written. Name another, or remove it."""

    exit_code = NO_FILE


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What recipes call it: small letters, digits, '_' and '-'.")],
    kind: Annotated[str, typer.Option(help="frame: changes one frame after the other; media: a file of files.")] = (
        "frame"
    ),
    json_output: Json = False,
) -> None:
    """Write NAME.py: an effect that works as it is, with comments that say what may be changed."""
    if not NAME.fullmatch(name):
        raise EffectFileError(f"{name!r} is no name: 1 to 64 small letters, digits, '_' and '-', a letter first")
    if kind not in ("frame", "media"):
        raise EffectFileError(f"--kind {kind!r} is neither 'frame' nor 'media'")
    path = Path(f"{name.replace('-', '_')}.py")
    try:
        with path.open("x") as file:
            file.write(template(name, kind, _user()))
    except FileExistsError:
        raise EffectInTheWayError(f"{path} is there already; it is left as it is") from None
    show({"file": str(path)}, json_output, [str(path)])
    console.print(
        f"try it:    artdag effect test {path}\nupload it: artdag effect upload {path}", highlight=False, soft_wrap=True
    )


@app.command("test")
def try_out(
    file: File,
    media: Annotated[
        Path | None,
        typer.Option(help="What it is run on.  [default: a clip of a cat]", exists=True, show_default=False),
    ] = None,
    params: Annotated[str, typer.Option(help="Its parameters, as JSON.")] = "{}",
    output: Annotated[Path | None, typer.Option(help="The result.  [default: FILE.mp4]", show_default=False)] = None,
    json_output: Json = False,
) -> None:
    """Run an effect, isolated as on a server, and say how long a frame takes and where the result is."""
    effect = _read(file)
    given = _params(effect, params)
    look_in(lambda cid: file if cid == effect.cid else None)
    target = (output or file.with_suffix(".mp4")).absolute()
    if target == file.absolute() or (media and target == media.absolute()):
        raise EffectFileError(f"--output {target} is what is to be read; name another file")
    check_place(target, replace=True)
    with tempfile.TemporaryDirectory() as folder:
        if media is None:
            from artdag_cli.demo_media import make_cat

            media = Path(folder) / "cat.mp4"
            make_cat(media, CLIP_FRAMES)
        facts = run(effect, given, media.absolute(), target, Path(folder))
    if json_output:
        show(facts, True, [])
        return
    if "effect_ms" in facts:
        console.print(
            f"the effect takes {facts['effect_ms']} ms a frame of {facts['size']}", highlight=False, soft_wrap=True
        )
    console.print(f"isolated by {facts['isolation']}", highlight=False, soft_wrap=True)
    print(target)


@app.command("upload")
def upload(file: File, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Upload an effect, and print its CID: what recipes call it by."""
    effect = _read(file)
    with Client.of(state_folder(state), server) as client:
        answer = client.effects.upload(file)
    show(answer, json_output, [answer["cid"]])
    if json_output:
        return
    console.print(
        f"in a recipe:\n  type: EFFECT\n  config: {{effect: {answer['cid']}}}  # {effect.name}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("list")
def list_effects(
    name: Annotated[str, typer.Option("--name", help="Only those whose name has this in it.")] = "",
    mine: Mine = False,
    limit: Limit = 100,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List effects: yours and published ones, newest first, then the built-in ones."""
    with Client.of(state_folder(state), server) as client:
        found = gathered(client.effects.page, "effects", limit, name=name, owner="me" if mine else None)
    rows = [
        [each["name"], "built in" if each["builtin"] else each["cid"], each["description"]] for each in found["effects"]
    ]
    show(found, json_output, [*columns(rows), *more(found, "effects")])


@app.command("show")
def show_effect(
    name: EffectName,
    source: Annotated[bool, typer.Option("--source", help="Print its Python file, and nothing else.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Show an effect with its parameters."""
    with Client.of(state_folder(state), server) as client:
        if source and not json_output:
            sys.stdout.buffer.write(client.effects.source(name))
            sys.stdout.buffer.flush()
            return
        found = client.effects.get(name)
    rows = [
        [
            key,
            each.get("type"),
            "" if each.get("default") is None else json.dumps(each["default"]),
            each.get("description"),
        ]
        for key, each in found["params"]["properties"].items()
    ]
    lines = [f"{found['name']} {found['version']}  {found['cid']}", found["description"]]
    show(found, json_output, [*lines, *(["parameters:"] if rows else []), *(f"  {line}" for line in columns(rows))])


@app.command("delete")
def delete_effect(name: EffectName, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Take an effect off your list. Recipes and runs that use it keep it."""
    with Client.of(state_folder(state), server) as client:
        gone = client.effects.delete(name)
    show(gone, json_output, [f"{gone['cid']}  {gone['name']} deleted"])


def run(effect: Effect, params: EffectParams, media: Path, output: Path, folder: Path) -> dict[str, Any]:
    """Run an effect over a file and return what was measured: ``effect_ms`` a frame, its size, what isolated it.

    Args:
        folder: for what lies in between.
    """
    from artdag_common.isolation.frames import isolated_stage, run_frames
    from artdag_common.isolation.process import Isolated
    from artdag_common.isolation.whole import run_whole
    from artdag_common.media import video
    from artdag_common.media.picture import Picture
    from artdag_common.media.pictures import Clip, Rgb
    from artdag_common.media.rgb import RgbBridge

    facts: dict[str, Any] = {"cid": effect.cid, "name": effect.name, "output": str(output)}
    if effect.kind == "media":
        run_whole(effect, params, [media], folder / "raw.mkv", output, lambda done, total: None)
        return facts | {"isolation": Isolated.latest}
    clip = Clip(media)
    bridge = RgbBridge(clip.tags)
    began = [0.0]

    def frames() -> Iterator[Rgb]:
        """Decode beforehand, so that the effect alone is timed, and not the start of its process."""
        some = [
            Picture(bridge, number, frame).rgb()
            for number, frame in enumerate(clip.pictures(0, min(TIMED_FRAMES, clip.timeline.frames)))
        ]
        yield some[0]
        began[0] = time.perf_counter()
        yield from some[1:]

    count = sum(1 for _ in run_frames(effect, params, frames(), {}))
    elapsed = time.perf_counter() - began[0]
    video.through(
        media, output, [lambda shape, total: isolated_stage(effect, params, shape, {})], lambda done, total: None
    )
    facts["effect_ms"] = round(1000 * elapsed / count, 2)
    facts["size"] = "×".join(map(str, clip.size))
    return facts | {"isolation": Isolated.latest}


def _read(file: Path) -> Effect:
    try:
        return parse(file.read_bytes(), file)
    except InvalidEffectError as error:
        for problem in error.problems:
            place = f"{file}:{problem['line']}: {problem['field']}: {problem['problem']}"
            console.print(
                place + (f" (given: {problem['value']})" if "value" in problem else ""), highlight=False, soft_wrap=True
            )
        raise


def _params(effect: Effect, text: str) -> EffectParams:
    try:
        return effect.params.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or '--params'}: {e['msg']}" for e in error.errors())
        known = ", ".join(effect.params.model_fields) or "none"
        raise EffectFileError(f"--params: {problems} (its parameters: {known})") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "me"
