"""What ``artdag effect new`` writes: an effect that works as it is, with comments that say what may be changed."""

from __future__ import annotations

HEADER = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [{dependencies}]
#
# [tool.artdag]
# name = "{name}"
# version = "1.0.0"
# author = "{author}"
# description = "{description}"
# kind = "{kind}"
#
# [tool.artdag.params.amount]
# type = "float"          # float, int, bool or str
# default = 0.5           # without it, recipes have to give one
# min = 0
# max = 1
# description = "0: the picture as it is; 1: all of the effect"
# ///
"""

FRAME = (
    HEADER
    + '''"""{name}: bright places leave a glow that fades.

The comment block above is all that is read to know the effect; nothing is run for that. While it runs it has no
network, sees no file but this one, and starts no process. It may import what `dependencies` names: numpy, av.
"""

import numpy as np


def process_frame(frame, params, state):
    """Change one frame.

    frame:  uint8, (height, width, 3), RGB. It is yours: change it, or keep it.
    params: the parameters declared above, as attributes. One that a recipe binds to the music differs each frame.
    state:  {{}} at the first frame, then whatever you gave back with the frame before. Nothing else is remembered.

    The same frames have to give the same result each time: take no time and no other randomness than numpy's and
    Python's own, which begin with the same seed each time.
    """
    weight = round(params.amount * 224)  # whole numbers give the same on every processor
    before = state.get("glow")
    if before is None:
        before = np.zeros_like(frame)
    glow = np.maximum(frame, (before.astype(np.uint16) * weight >> 8).astype(np.uint8))
    return glow, {{"glow": glow}}
'''
)

MEDIA = (
    HEADER
    + '''"""{name}: the pictures of a video, backwards and forwards again.

The comment block above is all that is read to know the effect; nothing is run for that. While it runs it has no
network, reads its inputs, writes its output, and sees nothing else. It may import what `dependencies` names: numpy, av.
"""

import av


def process(inputs, output, params, ctx):
    """Make one file of files.

    inputs: paths, to be read; what they hold tells their content, not their name.
    output: the path to write to, Matroska. What you write is encoded once more for whoever gets it: lose nothing.
    params: the parameters declared above, as attributes.
    ctx:    ctx.seed for random numbers, ctx.tmp, a folder that goes with you, and ctx.progress(done, total), which
            also tells that you are alive: call it at least every ten minutes.
    """
    with av.open(str(inputs[0])) as source:
        stream = source.streams.video[0]
        rate = stream.average_rate or 25
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(stream)][:250]
    turn = round(params.amount * (len(frames) - 1))
    shown = [*range(turn, 0, -1), *range(len(frames))]
    with av.open(str(output), "w", format="matroska") as target:
        writer = target.add_stream("ffv1", rate=rate)
        writer.height, writer.width = frames[0].shape[:2]
        writer.pix_fmt = "yuv444p"
        for done, place in enumerate(shown, 1):
            target.mux(writer.encode(av.VideoFrame.from_ndarray(frames[place], format="rgb24")))
            ctx.progress(done, len(shown))
        target.mux(writer.encode())
'''
)


def template(name: str, kind: str, author: str) -> str:
    """Return the text of a new effect."""
    if kind == "media":
        return MEDIA.format(
            name=name, kind=kind, author=author, dependencies='"av"', description="Plays backwards, then forwards."
        )
    return FRAME.format(
        name=name, kind=kind, author=author, dependencies='"numpy"', description="Lets bright places glow."
    )
