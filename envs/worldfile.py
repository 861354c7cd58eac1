"""Reading and writing worlds: the project's TOML and libfastsim's XML settings.

A TOML world states lengths of the map, tiles and objects in pixels (y down, half open boxes) and
lengths of the robot, lasers and goal in world units, and angles in degrees:

    size = 600.0                  # world units per side
    width = 200                   # pixels per side
    walls = [[0, 0, 200, 8], …]   # occupied rectangles x0, y0, x1, y1; or: map = "file.pbm"
    steps = 400                   # optional

    [robot]                       # x, y, theta, radius
    [[laser]]                     # angle, range; a section per laser, as in the readings
    [goal]                        # x, y, radius; optional
    [tiles], [[object]]           # optional, see envs.scene
    [[room]]                      # optional, see envs.rooms

An angle is turned to radians with the roundings of libfastsim; `radians` in place of `theta` or
`angle` gives one that no number of degrees becomes.

An XML world of libfastsim loads as it is; a scene may lie beside NAME.xml in NAME.scene.toml.
"""

import json
import math
import tomllib
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError, require_file
from envs.pbm import read_pbm, write_pbm
from envs.scene import (
    Scene,
    check_keys,
    number,
    parse_scene,
    pixel_box,
    scene_to_table,
)
from envs.world import Goal, Robot, World

WORLDS = Path(__file__).parent / "worlds"
SCENE_KEYS = {"tiles", "object", "room"}
# Parts of libfastsim that nothing here can sense: a file that has them loads all the same.
UNUSED_ELEMENTS = {
    "display", "radar", "light_sensor", "illuminated_switch", "laser_scanner", "camera",
}  # fmt: skip


def load_world(name_or_path: str | Path) -> World:
    """Load a world.

    Args:
        name_or_path: the name of a bundled world ("apartment"), a .toml file, libfastsim settings
            (.xml), or a folder written by `save_world`.

    Raises:
        InputError: unknown name, missing or broken file; the message says which file and field,
            what was found and what was expected.
    """
    path = Path(name_or_path)
    known = sorted(file.stem for file in WORLDS.glob("*.toml"))
    if str(name_or_path) in known:
        path = WORLDS / f"{name_or_path}.toml"
    elif path.is_dir():
        path = path / "world.toml"
        if not path.is_file():
            raise InputError(f"{path.parent}: no world.toml in this folder; expected a saved world")
    elif not path.is_file():
        raise InputError(
            f"no world {str(name_or_path)!r}: neither a file or folder nor one of the bundled "
            f"worlds ({', '.join(known)})"
        )
    loaders = {".toml": _load_toml, ".xml": _load_xml}
    if path.suffix.lower() not in loaders:
        raise InputError(f"{path}: expected a .toml or .xml file, or a folder of a saved world")
    try:
        return loaders[path.suffix.lower()](path)
    except InputError as error:
        raise _in_file(path, error) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _in_file(path: Path, error: InputError) -> InputError:
    """The error with the file it came from in front; a map or scene beside it stays as it is."""
    message = str(error)
    return error if message.startswith(str(path.parent)) else InputError(f"{path}: {message}")


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file, or raise an InputError with file and line."""
    require_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # Notepad writes a byte order mark
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    except UnicodeDecodeError:
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise InputError(
            f"{path}: not a text file in UTF-8{' (it is UTF-16)' if wide else ''}; save it as UTF-8"
        ) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: not valid TOML: {type(error).__name__}") from None


def _load_toml(path: Path) -> World:
    table = read_toml(path)
    check_keys(
        table,
        "the world",
        {"size", "robot", "laser"},
        {"name", "width", "height", "walls", "map", "steps", "goal"} | SCENE_KEYS,
    )
    size = number(table["size"], "size")
    if size <= 0:
        raise InputError(f"size is {size:g}; expected world units above 0")
    occupied = _toml_map(table, path)
    height, width = occupied.shape
    for section in ("robot", "goal"):
        if not isinstance(table.get(section, {}), dict):
            raise InputError(f"{section} is {table[section]!r}; expected a section [{section}]")
    robot = table["robot"]
    check_keys(robot, "robot", {"x", "y", _angle_key(robot, "theta"), "radius"}, set())
    goal = None
    if "goal" in table:
        check_keys(table["goal"], "goal", {"x", "y", "radius"}, set())
        goal = Goal(*(number(table["goal"][key], f"goal: {key}") for key in ("x", "y", "radius")))
    lasers = table["laser"]
    if not isinstance(lasers, list):
        raise InputError("laser: write [[laser]] with double brackets, one section per laser")
    angles, ranges = [], []
    for index, laser in enumerate(lasers, start=1):
        if not isinstance(laser, dict):
            raise InputError(f"laser {index} is {laser!r}; expected a section [[laser]]")
        check_keys(laser, f"laser {index}", {_angle_key(laser, "angle"), "range"}, set())
        angles.append(_radians(laser, "angle", laser_radians, f"laser {index}"))
        ranges.append(number(laser["range"], f"laser {index}: range"))
    name = table.get("name", path.stem)
    if not isinstance(name, str) or not name:
        raise InputError(f"name is {name!r}; expected a word")
    return World(
        name=name,
        size=size,
        occupied=occupied,
        robot=Robot(
            x=number(robot["x"], "robot: x"),
            y=number(robot["y"], "robot: y"),
            theta=_radians(robot, "theta", robot_radians, "robot"),
            radius=number(robot["radius"], "robot: radius"),
        ),
        laser_angles=np.array(angles),
        laser_ranges=np.array(ranges),
        goal=goal,
        scene=parse_scene(table, width=width, height=height, size=size, folder=path.parent),
        steps=table.get("steps", 400),
    )


def laser_radians(degrees: float) -> float:
    """Radians of a laser's angle, rounded where libfastsim rounds: float32 halves of a turn."""
    return float(np.float32(np.float64(np.float32(degrees) / np.float32(180)) * math.pi))


def robot_radians(degrees: float) -> float:
    """Radians of the robot's heading, rounded where libfastsim rounds."""
    return float(np.float32(np.float64(np.float32(degrees)) / 180.0 * math.pi))


def _angle_key(table: dict[str, Any], degrees: str) -> str:
    return "radians" if "radians" in table else degrees


def _radians(table: dict[str, Any], key: str, turn: Callable[[float], float], where: str) -> float:
    """The angle of a section: `key` in degrees, or "radians"."""
    if "radians" in table:
        return number(table["radians"], f"{where}: radians")
    return turn(number(table[key], f"{where}: {key}"))


def _toml_map(table: dict[str, Any], path: Path) -> np.ndarray:
    if ("walls" in table) == ("map" in table):
        raise InputError('the world needs either walls = [[x0, y0, x1, y1], …] or map = "file.pbm"')
    if "map" in table:
        if not isinstance(table["map"], str):
            raise InputError(f"map is {table['map']!r}; expected the name of a PBM file")
        occupied = read_pbm(path.parent / table["map"])
        for key, pixels in zip(("height", "width"), occupied.shape, strict=True):
            if table.get(key, pixels) != pixels:
                raise InputError(f"{key} is {table[key]}, but {table['map']} has {pixels} pixels")
        return occupied
    if "width" not in table:
        raise InputError("'width' is missing: the map's pixels per side")
    width = table["width"]
    height = table.get("height", width)
    for key, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 16384:
            raise InputError(f"{key} is {value!r}; expected whole pixels from 1 to 16384")
    if not isinstance(table["walls"], list):
        raise InputError(f"walls is {table['walls']!r}; expected a list of [x0, y0, x1, y1]")
    occupied = np.zeros((height, width), dtype=bool)
    for index, wall in enumerate(table["walls"], start=1):
        edges = pixel_box(wall, width, height, f"wall {index}")
        x0, y0, x1, y1 = (int(edge) for edge in edges)
        if (x0, y0, x1, y1) != edges:
            raise InputError(f"wall {index} is {wall}; expected whole pixels")
        occupied[y0:y1, x0:x1] = True
    return occupied


def _load_xml(path: Path) -> World:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # also of encodings
        raise InputError(f"{path}: not valid XML: {error}") from None
    used = {"map", "robot", "goal", "laser"}
    for element in root:
        if element.tag in UNUSED_ELEMENTS - {"display"}:
            warnings.warn(
                f"{path}: <{element.tag}> is not simulated and gives no observation", stacklevel=4
            )
        elif element.tag not in used | UNUSED_ELEMENTS:
            known = ", ".join(sorted(used | UNUSED_ELEMENTS))
            raise InputError(f"unknown element <{element.tag}>; known are {known}")
    for tag in ("map", "robot"):
        if len(root.findall(tag)) != 1:
            raise InputError(f"{len(root.findall(tag))} elements <{tag}>; expected one")
    [plan], [robot] = root.findall("map"), root.findall("robot")
    size = _attribute(plan, "size", "<map>")
    if size <= 0:
        raise InputError(f"<map>: size is {size:g}; expected world units above 0")
    name = Path(_raw_attribute(plan, "name", "<map>").replace("\\", "/"))
    # libfastsim's own examples name the map from the folder they are run in.
    beside = path.parent / name.name
    named = path.parent / name
    occupied = read_pbm(beside if not named.is_file() and beside.is_file() else named)
    height, width = occupied.shape
    goals = root.findall("goal")
    goal = None
    if len(goals) > 1:
        warnings.warn(
            f"{path}: {len(goals)} elements <goal>; only the first is the goal", stacklevel=4
        )
    if goals:
        x, y, diameter = (_attribute(goals[0], key, "<goal>") for key in ("x", "y", "diameter"))
        goal = Goal(x, y, diameter / 2)
    lasers = [(element, f"<laser> {i}") for i, element in enumerate(root.findall("laser"), 1)]
    scene_file = path.with_name(f"{path.stem}.scene.toml")
    return World(
        name=path.stem,
        size=size,
        occupied=occupied,
        robot=Robot(
            x=_attribute(robot, "x", "<robot>"),
            y=_attribute(robot, "y", "<robot>"),
            theta=robot_radians(_attribute(robot, "theta", "<robot>")),
            # libfastsim takes the radius from the attribute it calls diameter.
            radius=_attribute(robot, "diameter", "<robot>"),
        ),
        laser_angles=np.array([laser_radians(_attribute(e, "angle", at)) for e, at in lasers]),
        laser_ranges=np.array([_attribute(e, "range", at) for e, at in lasers]),
        goal=goal,
        scene=_load_scene(scene_file, width, height, size) if scene_file.is_file() else None,
    )


def _load_scene(path: Path, width: int, height: int, size: float) -> Scene | None:
    try:
        table = read_toml(path)
        check_keys(table, "the scene", set(), SCENE_KEYS)
        return parse_scene(table, width=width, height=height, size=size, folder=path.parent)
    except InputError as error:
        raise _in_file(path, error) from None


def _raw_attribute(element: ElementTree.Element, key: str, where: str) -> str:
    if key not in element.attrib:
        raise InputError(f"{where}: attribute {key!r} is missing")
    return element.attrib[key]


def _attribute(element: ElementTree.Element, key: str, where: str) -> float:
    text = _raw_attribute(element, key, where)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {key} is {text!r}; expected a number")
    return value


def save_world(world: World, folder: Path | str) -> Path:
    """Write a self-contained copy into `folder`: world.toml, map.pbm and the pictures used.

    `load_world(folder)` loads an equal world. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_pbm(folder / "map.pbm", world.occupied)
    lines = [
        f"name = {_quoted(world.name)}",
        f"size = {float(world.size)!r}",
        'map = "map.pbm"',
        f"steps = {world.steps}",
        "",
        "[robot]",
        f"x = {float(world.robot.x)!r}",
        f"y = {float(world.robot.y)!r}",
        _angle_line("theta", world.robot.theta, robot_radians),
        f"radius = {float(world.robot.radius)!r}",
    ]
    if world.goal is not None:
        goal = world.goal
        lines += ["", "[goal]"]
        lines += [f"{key} = {float(getattr(goal, key))!r}" for key in ("x", "y", "radius")]
    if not len(world.laser_angles):
        lines.insert(0, "laser = []")
    for angle, reach in zip(world.laser_angles, world.laser_ranges, strict=True):
        line = _angle_line("angle", angle, laser_radians)
        lines += ["", "[[laser]]", line, f"range = {float(reach)!r}"]
    if world.scene is not None:
        lines += _scene_lines(world.scene, world, folder)
    text = "\n".join(lines) + "\n"
    (folder / "world.toml").write_text(text, encoding="utf-8")
    return folder


def _scene_lines(scene: Scene, world: World, folder: Path) -> list[str]:
    table = scene_to_table(scene, width=world.width, size=world.size)
    lines = []
    if "tiles" in table:
        lines += ["", "[tiles]", f"rows = {_quoted(table['tiles']['rows'])}"]
        lines += [f"bounds = {_quoted(table['tiles']['bounds'])}"]
        if "aliases" in table["tiles"]:
            lines += ["", "[tiles.aliases]"]
            lines += [f"{_quoted(t)} = {_quoted(w)}" for t, w in table["tiles"]["aliases"].items()]
    taken: dict[str, Path] = {}
    for entry, item in zip(table["object"], scene.objects, strict=True):
        lines += ["", "[[object]]", f"name = {_quoted(entry['name'])}"]
        lines += [f"box = {_quoted(entry['box'])}"]
        if item.aliases:
            lines += [f"aliases = {_quoted(entry['aliases'])}"]
        if item.picture is not None:
            name = item.picture.name
            if not name.lower().endswith((".svg", ".svgz")):
                name += ".svg"  # beside world.toml and map.pbm
            if taken.setdefault(name, item.picture) != item.picture:
                name = f"{len(lines)}-{name}"  # not the object's own, which may hold a slash
            target = folder / name
            if not target.exists() or not target.samefile(item.picture):
                target.write_bytes(item.picture.read_bytes())
            lines += [f"picture = {_quoted(name)}"]
    for entry in table["room"]:
        lines += ["", "[[room]]", *(f"{key} = {_quoted(value)}" for key, value in entry.items())]
    return lines


def _quoted(value: Any) -> str:
    # What JSON writes for text, numbers and lists of them is TOML as well.
    return json.dumps(value, ensure_ascii=False)


def _angle_line(key: str, radians: float, turn: Callable[[float], float]) -> str:
    """The shortest degrees that are read back as the same float32, or else the radians."""
    exact = math.degrees(float(radians))
    for digits in range(17):
        short = round(exact, digits)
        if np.float32(turn(short)) == np.float32(radians):
            return f"{key} = {short!r}"
    return f"radians = {float(np.float32(radians))!r}"
