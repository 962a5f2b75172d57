"""Make this folder's pictures and table again from three unpacked npm packages.

    python data/emoji/build.py NOTO TWEMOJI OPENMOJI

The arguments are the unpacked folders of the packages in `PACKAGES`. Needs numpy, Pillow and
resvg-py; their versions, and those of the packages, are in the README beside this file.
The emoji are those that all three draw, in Unicode's order, without the variants in skin tone.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import struct
from pathlib import Path

import numpy
import resvg_py
from PIL import Image

HERE = Path(__file__).resolve().parent
# Name and version of each foundry's package, and where in it the pictures lie.
PACKAGES = {
    "noto": ("emoji-datasource-google", "16.0.0", "img/google/64"),
    "twemoji": ("emoji-datasource-twitter", "16.0.0", "img/twitter/64"),
    "openmoji": ("openmoji", "17.0.0", "color/svg"),
}
SIDE = 32  # pixels of a stored picture
DRAWN = 288  # pixels at which a vector picture is drawn before it is made smaller
ALIKE = 16  # root mean square difference, of 255, below which two pictures are near twins
HELD_OUT = 0.1
SEED = 0

JOINER = "200D"
COLOUR_VARIATION = "FE0F"
SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
MAN, WOMAN, PERSON = "1F468", "1F469", "1F9D1"
GENDER_OR_DIRECTION = {"2640", "2642", "27A1"}

CodePoints = tuple[str, ...]


def code_points(name: str) -> CodePoints:
    """The sequence in a name such as "0023-fe0f-20e3", without the variation selector.

    The packages disagree on where they write the selector, which asks for colour.
    """
    return tuple(point for point in name.upper().split("-") if point != COLOUR_VARIATION)


def pictures(package: Path, name: str, version: str, folder: str) -> dict[CodePoints, Path]:
    """The picture of each emoji that a package draws, the skin tones left out."""
    found = json.loads((package / "package.json").read_text(encoding="utf-8"))
    if (found["name"], found["version"]) != (name, version):
        raise SystemExit(
            f"{package} holds {found['name']} {found['version']}: {name} {version} was expected"
        )
    paths = {code_points(path.stem): path for path in (package / folder).iterdir()}
    return {points: path for points, path in paths.items() if not SKIN_TONES & set(points)}


def picture(path: Path) -> numpy.ndarray:
    """A picture on white, (SIDE, SIDE, 3) of uint8.

    It is laid on white at full size: an average of opaque pixels has no dark fringe.
    """
    if path.suffix == ".svg":
        drawing = resvg_py.svg_to_bytes(
            svg_path=str(path), width=DRAWN, height=DRAWN, skip_system_fonts=True
        )
        image = Image.open(io.BytesIO(bytes(drawing)))
    else:
        image = Image.open(path)
    image = image.convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    small = page.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return numpy.asarray(small)


def kind(points: CodePoints) -> CodePoints:
    """The same for the man, the woman and the person of one kind, and for both directions."""
    parts = "-".join(points).split(f"-{JOINER}-")
    kept = [part for part in parts[1:] if part not in GENDER_OR_DIRECTION]
    return tuple(PERSON if part in (MAN, WOMAN) else part for part in [parts[0], *kept])


def clusters(emoji: list[CodePoints], drawn: dict[str, numpy.ndarray]) -> list[int]:
    """The cluster of each emoji, named by its first member's row.

    Two emoji share a cluster if they are of one kind, if any foundry draws them nearly alike,
    or if a chain of such pairs links them.
    """
    pairs = []
    first_of_kind: dict[CodePoints, int] = {}
    for row, points in enumerate(emoji):
        pairs.append((first_of_kind.setdefault(kind(points), row), row))
    for images in drawn.values():
        # Sums of squares of bytes are exact in float64, so that no threshold is a near tie.
        flat = images.reshape(len(images), -1).astype(numpy.float64)
        squares = (flat**2).sum(axis=1)
        distances = squares[:, None] + squares - 2 * flat @ flat.T
        pairs += numpy.argwhere(distances < ALIKE**2 * flat.shape[1]).tolist()

    parent = list(range(len(emoji)))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(row) for row in range(len(emoji))]


def splits(cluster: list[int], group: list[str], emoji: list[CodePoints]) -> list[str]:
    """ "train" or "test" for each emoji: whole clusters, a tenth of every group of Unicode's.

    A cluster counts in the group of its first member. A hash gives the order of the draw.
    """
    members: dict[int, int] = {first: cluster.count(first) for first in set(cluster)}
    room: dict[str, int] = {}
    for name in sorted(set(group)):
        size = sum(count for first, count in members.items() if group[first] == name)
        room[name] = round(HELD_OUT * size)

    def draw(first: int) -> str:
        return hashlib.sha256(f"{SEED} {'-'.join(emoji[first])}".encode()).hexdigest()

    held_out = set()
    for first in sorted(members, key=draw):
        if members[first] <= room[group[first]]:
            room[group[first]] -= members[first]
            held_out.add(first)
    return ["test" if first in held_out else "train" for first in cluster]


def write(name: str, content: bytes) -> None:
    """Write a file, gzipped without name and time if it is called .gz, and say what it holds."""
    packed = gzip.compress(content, 9, mtime=0) if name.endswith(".gz") else content
    (HERE / name).write_bytes(packed)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    print(f"{name}: {len(packed):,} bytes, {len(content):,} unpacked, MD5 unpacked {md5}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for foundry, (name, version, _) in PACKAGES.items():
        parser.add_argument(foundry, type=Path, help=f"the unpacked folder of {name} {version}")
    arguments = vars(parser.parse_args())

    paths = {
        foundry: pictures(arguments[foundry], *package) for foundry, package in PACKAGES.items()
    }
    records = json.loads((arguments["openmoji"] / "data/openmoji.json").read_text(encoding="utf-8"))
    described = {code_points(record["hexcode"]): record for record in records}
    common = set.intersection(*(set(found) for found in paths.values())) & described.keys()
    emoji = sorted(common, key=lambda points: described[points]["order"])

    drawn = {
        foundry: numpy.stack([picture(found[points]) for points in emoji])
        for foundry, found in paths.items()
    }
    cluster = clusters(emoji, drawn)
    group = [described[points]["group"] for points in emoji]
    split = splits(cluster, group, emoji)

    for foundry, images in drawn.items():
        shape = (len(emoji), 3, SIDE, SIDE)
        header = bytes([0, 0, 8, len(shape)]) + struct.pack(">4I", *shape)
        channels_first = numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))
        write(f"{foundry}-images-idx4-ubyte.gz", header + channels_first.tobytes())
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["code_points", "name", "group", "cluster", "split"])
    for row, points in enumerate(emoji):
        name = described[points]["annotation"]
        writer.writerow(["-".join(points), name, group[row], cluster[row], split[row]])
    write("emoji.csv", table.getvalue().encode())


if __name__ == "__main__":
    main()
