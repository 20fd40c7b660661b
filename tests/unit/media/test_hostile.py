"""Files that are damaged, lie, or want to harm: refused with a reason, in a process with bounded memory and time."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from artdag_common.media.pictures import Clip
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import Span, read_sound, sound_shape, sound_start
from tests.unit.media.counted import noise, numbered, write_counted, write_wav
from tests.unit.media.hostile import flipped, gif, outcomes, png

MOST_FRAMES = 500
MOST_PIECES = 500
SIZE = (64, 36)
MUTATIONS = 40


def read(path: Path) -> None:
    """Read a file as steps do: what it holds, its pictures, its sound."""
    facts = probe(path)
    if facts.frames:
        for _ in zip(range(MOST_FRAMES), Clip(path).pictures(), strict=False):
            pass
    shape = sound_shape(path)
    if shape is not None:
        for _ in zip(range(MOST_PIECES), read_sound(Span(path, sound_start(path), None), shape), strict=False):
            pass


def refusals(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Read files that all have to be refused; return why, by name."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    found = outcomes(read, [folder / name for name in files])
    assert {name: kind for name, (kind, _) in found.items()} == dict.fromkeys(files, "refused"), found
    return {name: text for name, (_, text) in found.items()}


def film(folder: Path) -> bytes:
    """Ten frames with a second of sound, MP4."""
    path = write_counted(folder / "film.mp4", 10, size=SIZE, sound=noise(48_000), sound_codec="aac")
    return path.read_bytes()


def patched(whole: bytes, box: bytes, offset: int, value: int, nth: int = 0) -> bytes:
    """Write another number, 32 bits, into the nth box of a name."""
    at = -1
    for _ in range(nth + 1):
        at = whole.index(box, at + 1)
    data = bytearray(whole)
    struct.pack_into(">I", data, at + 4 + offset, value)
    return bytes(data)


def test_what_is_not_media_is_refused(tmp_path: Path) -> None:
    magic = {
        "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        "mkv": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
        "png": b"\x89PNG\r\n\x1a\n",
        "jpg": b"\xff\xd8\xff\xe0",
        "gif": b"GIF89a",
        "webp": b"RIFF\x40\0\0\0WEBPVP8 ",
        "wav": b"RIFF\x40\x10\0\0WAVEfmt ",
        "flac": b"fLaC",
        "ogg": b"OggS",
        "mp3": b"ID3\x04\0\0",
        "tiff": b"II*\0",
    }
    noise_bytes = noise(2048).tobytes()
    files = {f"random.{end}": head + noise_bytes for end, head in magic.items()}
    files |= {f"only.{end}": head for end, head in magic.items()}
    files |= {"empty.mp4": b"", "one.png": b"\x89", "zeros.mp4": bytes(4096), "text.mp4": b"not a film at all\n" * 99}
    reasons = refusals(tmp_path, files)
    assert all(text.startswith("media: ") for text in reasons.values())


def test_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    whole = film(tmp_path)
    for name in ("film.png", "film.wav", "film.m3u8", "film"):
        (tmp_path / name).write_bytes(whole)
        assert probe(tmp_path / name).frames == 10


def test_pictures_that_would_fill_the_memory_are_refused_by_their_headers(tmp_path: Path) -> None:
    big = io.BytesIO()
    Image.new("L", (16, 16)).save(big, "JPEG")
    jpeg = bytearray(big.getvalue())
    at = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, at + 5, 32_768, 32_768)
    reasons = refusals(
        tmp_path,
        {
            "bomb.png": png(32_768, 32_768),
            "wide.png": png(2**31 - 1, 1),
            "area.png": png(12_000, 12_000),
            "bomb.gif": gif(32_768, 32_768),
            "bomb.jpg": bytes(jpeg),
            "bomb.bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 200, 0, 54, 40, 32_768, 32_768, 1, 24, 0, 0, 0, 0, 0, 0),
        },
    )
    for name, text in reasons.items():
        assert "at most 16384 a side and 64000000 in all are read" in text, (name, text)


def test_a_film_of_too_large_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 17_000, 16, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(17_000, 16, "yuvj420p")))
        container.mux(stream.encode(None))
    assert "17000x16 pixels; at most 16384 a side" in refusals(tmp_path, {"wide.mkv": path.read_bytes()})["wide.mkv"]


@pytest.mark.parametrize("aspect", [(1000, 1), (1, 1000)])
def test_pixels_a_thousand_times_as_wide_as_high_are_taken_for_damage(tmp_path: Path, aspect: tuple[int, int]) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.sample_aspect_ratio = Fraction(*aspect)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1, SIZE), "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    assert Clip(path).size == SIZE


@pytest.mark.parametrize(
    ("box", "offset", "value", "nth"),
    [
        ("mvhd", 16, 0xFFFF_FFF0, 0),  # duration of the film
        ("mdhd", 16, 0xFFFF_FFF0, 0),  # of the pictures
        ("mdhd", 16, 0xFFFF_FFF0, 1),  # of the sound
        ("elst", 8, 0xFFFF_FFF0, 0),  # of the edit
        ("stts", 8, 1_000_000_000, 0),  # a billion frames
        ("stts", 8, 1_000_000_000, 1),  # a billion blocks of sound
        ("tkhd", 76, 0x7FFF_0000, 0),  # width
    ],
)
def test_headers_that_claim_too_much_are_not_believed(
    tmp_path: Path, box: str, offset: int, value: int, nth: int
) -> None:
    path = tmp_path / "lie.mp4"
    path.write_bytes(patched(film(tmp_path), box.encode(), offset, value, nth))
    assert outcomes(read, [path]) == {"lie.mp4": ("result", "")}
    facts = probe(path)
    assert (facts.frames, facts.width, facts.duration) == (10, 64, pytest.approx(1 / 3))


def test_lengths_that_cannot_be_are_refused(tmp_path: Path) -> None:
    whole = film(tmp_path)
    reasons = refusals(
        tmp_path,
        {
            "slow.mp4": patched(whole, b"stts", 12, 0x7FFF_FFFF),  # each frame for hours
            "many.mp4": patched(whole, b"stsz", 8, 1_000_000_000),  # a billion frames, without their sizes
            "chunk.mp4": patched(whole, b"stsc", 12, 0x7FFF_FFFF),
        },
    )
    assert "claims to last 139810 s; at most 86400 s are read" in reasons["slow.mp4"]


def test_a_sound_whose_header_says_a_day_is_as_long_as_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48_000, layout="mono")
        piece = av.AudioFrame.from_ndarray(noise(48_000), format="s16", layout="mono")
        piece.sample_rate = 48_000
        container.mux(track.encode(piece))
        container.mux(track.encode(None))
    assert probe(path).duration == pytest.approx(1, abs=0.03)
    path.write_bytes(patched(path.read_bytes(), b"mdhd", 16, 0xFFFF_FFF0))
    assert probe(path).duration == pytest.approx(1, abs=0.05)


def test_encrypted_films_say_so(tmp_path: Path) -> None:
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}
    for kind in ("video", "audio"):
        with (
            av.open(str(write_counted(tmp_path / "a.mp4", 10, sound=noise(9600), sound_codec="aac"))) as source,
            av.open(
                str(tmp_path / kind), "w", "mp4", options={"encryption_scheme": "cenc-aes-ctr", **key}
            ) as container,
        ):
            (stored,) = source.streams.get({kind: 0})
            stream = container.add_stream_from_template(stored)
            for packet in source.demux(stored):
                if packet.size:
                    packet.stream = stream
                    container.mux(packet)
    reasons = refusals(tmp_path, {kind: (tmp_path / kind).read_bytes() for kind in ("video", "audio")})
    assert reasons == {k: f"media: the {k} is encrypted; decrypt it first" for k in ("video", "audio")}


def test_subtitles_and_data_alone_are_nothing_to_render(tmp_path: Path) -> None:
    srt = b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"
    ass = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,x,,0,0,0,,hi\n"
    (tmp_path / "words.srt").write_bytes(srt)
    with av.open(str(tmp_path / "words.srt")) as source, av.open(str(tmp_path / "words.mkv"), "w") as container:
        stored = source.streams.subtitles[0]
        stream = container.add_stream_from_template(stored)
        for packet in source.demux(stored):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    mkv = (tmp_path / "words.mkv").read_bytes()
    reasons = refusals(tmp_path, {"a.srt": srt, "a.ass": ass, "only.mkv": mkv})
    assert reasons["a.srt"] == "media: the file is none of the kinds that are read here: video, audio or pictures"
    assert reasons["only.mkv"] == "media: the file holds neither video nor audio"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port to which nobody may connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def playlists(target: str) -> dict[str, bytes]:
    """Files that name another, in every format that does so."""
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    texts = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
        "key.m3u8": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n',
        "a.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "a.mpd": mpd,
        "a.pls": f"[playlist]\nNumberOfEntries=1\nFile1={target}\n",
        "a.asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "a.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{target}\n",
        "a.rtsp": f"RTSPtext\n{target}\n",
        "a.ffm": f"ffmetadata1\ntitle={target}\n;FFMETADATA1\n",
        "a.xspf": f"<playlist><trackList><track><location>{target}</location></track></trackList></playlist>",
        "a.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{target}"/></svg>',
        "a.imf": f'<?xml version="1.0"?><CompositionPlaylist><Id>{target}</Id></CompositionPlaylist>',
        "a.vpy": f"import os\nos.open('{target}', 0)\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def test_files_that_name_others_reach_neither_files_nor_addresses(tmp_path: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    secret = write_wav(tmp_path / "secret.wav", noise(4800))
    targets = (
        f"http://127.0.0.1:{port}/a.ts",
        f"tcp://127.0.0.1:{port}",
        f"crypto+http://127.0.0.1:{port}/a.ts",
        "file:///etc/passwd",
        f"file:{secret}",
        f"concat:{secret}|{secret}",
        f"subfile,,start,0,end,0,,:{secret}",
        str(secret),
        "secret.wav",
    )
    files = {
        f"{number}-{name}": text for number, target in enumerate(targets) for name, text in playlists(target).items()
    }
    reasons = refusals(tmp_path, files)
    assert len(reasons) == len(files)
    assert not any("secret" in text or "root:" in text for text in reasons.values())
    with pytest.raises(BlockingIOError):
        listener.accept()


def _sources(folder: Path) -> dict[str, bytes]:
    still = Image.fromarray(numbered(77, SIZE))
    others = [Image.fromarray(numbered(n, SIZE)) for n in (1, 2, 3)]
    still.save(folder / "a.png")
    still.save(folder / "a.jpg")
    for end in ("gif", "webp"):
        others[0].save(folder / f"a.{end}", save_all=True, append_images=others[1:], duration=[100, 40, 60])
    write_counted(folder / "a.mp4", 6, size=SIZE, sound=noise(4800, 2), sound_codec="aac")
    write_counted(folder / "a.mkv", 6, size=SIZE, sound=noise(4800), sound_codec="flac")
    write_counted(folder / "a.avi", 6, size=SIZE, codec="mpeg4")
    write_wav(folder / "a.wav", noise(2400, 2))
    return {path.suffix: path.read_bytes() for path in sorted(folder.glob("a.*"))}


def test_flipped_bytes_end_in_a_result_or_in_our_own_error(tmp_path: Path) -> None:
    files = []
    for suffix, whole in _sources(tmp_path).items():
        for seed in range(MUTATIONS):
            path = tmp_path / f"{seed}{suffix}"
            path.write_bytes(flipped(whole, seed))
            files.append(path)
    found = outcomes(read, files)
    assert len(found) == 8 * MUTATIONS
    assert {name: why for name, (kind, why) in found.items() if kind not in ("result", "refused")} == {}
    kinds = [kind for kind, _ in found.values()]
    assert min(kinds.count("result"), kinds.count("refused")) > MUTATIONS, "both are tried"
