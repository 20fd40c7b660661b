"""Media types by file signature and by extension, without loading a media library."""

from __future__ import annotations

from pathlib import Path

EXTENSIONS = {
    "mp4": "video/mp4",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "json": "application/json",
    "yaml": "application/yaml",
}
UNKNOWN = "application/octet-stream"
SIGNATURE_BYTES = 64
BRANDS = {b"M4A ": "audio/mp4", b"qt  ": "video/quicktime", b"avif": "image/avif", b"avis": "image/avif"}
"""What the first brand of an MP4 file says, where it is no video."""


def media_type(head: bytes) -> str:
    """Return the media type that a file's first :data:`SIGNATURE_BYTES` bytes show; unknown: octet stream."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return BRANDS.get(brand, "video/mp4")
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if head[:4] == b"RIFF":
        kinds = {b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo", b"WEBP": "image/webp"}
        return kinds.get(head[8:12], UNKNOWN)
    if head[:3] == b"ID3" or head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"):
        return "audio/mpeg"
    for signature, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"fLaC", "audio/flac"),
        (b"OggS", "audio/ogg"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ):
        if head.startswith(signature):
            return kind
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # the reserved field, so that text is not taken for a bitmap
        return "image/bmp"
    if head.lstrip()[:1] in (b"{", b"[") and not any(byte < 32 and byte not in b"\t\n\r" for byte in head):
        return "application/json"
    return UNKNOWN


def media_type_of(path: Path) -> str:
    """Return the media type of a file."""
    with path.open("rb") as file:
        return media_type(file.read(SIGNATURE_BYTES))


def extension(kind: str) -> str:
    """Return the file extension for a media type, without the dot; unknown: ``bin``."""
    return next((ext for ext, each in EXTENSIONS.items() if each == kind), "bin")
