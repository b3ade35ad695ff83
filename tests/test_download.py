"""Data sets fetched from a real server on this machine, which fails in the ways that servers do."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch.core
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from oddlab.cli import main
from oddlab.data import catalogue, download, layouts, read_folder
from oddlab.data.catalogue import CATALOGUE, find
from oddlab.data.download import DownloadError, fetch

FREE, CRACKS = 24, 8
FILES = FREE + 2 * CRACKS + 1

# What a process of its own runs. Building is slowed down, so that it can be killed in the middle of it.
DRIVER = """
import dataclasses, sys, time
from pathlib import Path
from oddlab.data import catalogue, layouts
base_url, archive, registry, *arguments = sys.argv[1:]
put = layouts._put
layouts._put = lambda *paths: (time.sleep(0.02), put(*paths))
changes = dict(base_url=base_url, archive=archive, elsewhere={}, registry=Path(registry))
catalogue.CATALOGUE["tiles"] = dataclasses.replace(catalogue.CATALOGUE["tiles"], **changes)
from oddlab.data import download
download.MANY = 0
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from oddlab.cli import main
main(arguments)
"""


class Server(ThreadingHTTPServer):
    """Serves `files`. `faults` holds, for a path, what its next answers are instead: "break", "wrong" or a status."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.asked: list[str] = []
        self.delay = 0.0

    def handle_error(self, request, client_address):
        """Clients that are killed break off, which is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.removeprefix("/")
        self.server.asked.append(path)
        time.sleep(self.server.delay)
        faults = self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        content = self.server.files.get(path)
        if content is None or isinstance(fault, int):
            return self.send_error(fault or 404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "break":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault == "wrong":
            content = bytes(len(content))
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            time.sleep(self.server.delay / 4)

    def log_message(self, *_):
        pass


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def jpg(value: int, size=(40, 30)) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(value).integers(0, 256, (size[1], size[0])).astype(np.uint8)
    Image.fromarray(noise).save(file, "jpeg")
    return file.getvalue()


def tiles() -> dict[str, bytes]:
    """The layout of the magnetic tiles, made up; every third good one is to test."""
    files = {f"MT_Free/Imgs/free_{i}.jpg": jpg(i) for i in range(FREE)}
    for i in range(CRACKS):
        files[f"MT_Crack/Imgs/crack_{i}.jpg"] = jpg(100 + i)
        files[f"MT_Crack/Imgs/crack_{i}.png"] = png(np.eye(30, 40) * 255)
    files["train_names.txt"] = "".join(f"free_{i}.jpg\n" for i in range(FREE) if i % 3).encode()
    return files


def packed(files: dict[str, bytes]) -> bytes:
    """As GitHub packs a commit: everything in one folder, with files that nobody asked for."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in {"README.md": b"not wanted", **files}.items():
            member = tarfile.TarInfo(f"tiles-abc/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch, server) -> Path:
    """An empty folder for data; "tiles" is a small set on the server, without an archive."""
    server.files = tiles()
    registry = tmp_path / "registry.txt"
    lines = (f"{path} {len(content)} {hashlib.sha256(content).hexdigest()}\n" for path, content in server.files.items())
    registry.write_text("# a comment\n" + "".join(lines))
    changed = replace(CATALOGUE["tiles"], base_url=server.url, archive="", elsewhere={}, registry=registry)
    monkeypatch.setitem(CATALOGUE, "tiles", changed)
    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))
    return tmp_path / "home"


def assert_whole(home: Path, alone: bool = True) -> None:
    """The folder holds every byte of the server's files in the layout of MVTec AD, and lies there by itself."""
    files = tiles()
    expected = {"train_names.txt": files.pop("train_names.txt")}
    for path, content in files.items():
        name = path.rsplit("/", 1)[1]
        if name.startswith("free"):
            part = "train" if int(name[5:-4]) % 3 else "test"
            expected[f"{part}/good/{name}"] = content
        elif name.endswith("jpg"):
            expected[f"test/crack/{name}"] = content
        else:
            expected[f"ground_truth/crack/{name[:-4]}_mask.png"] = content
    found = tree(home / "tiles")
    assert "magnetic tiles" in found.pop("SOURCE.txt").decode()
    assert found == expected
    if alone:
        assert [path.name for path in home.iterdir()] == ["tiles"]


def test_a_data_set_is_fetched_built_and_read(home, server, capfd):
    assert fetch("tiles") == home / "tiles"
    assert_whole(home)
    assert Counter(server.asked) == Counter(list(server.files))
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (home / "tiles").rglob("*.jpg"))
    train, test = read_folder(home / "tiles")
    assert len(train) == FREE * 2 // 3 and Counter(s.defect for s in test) == {"good": FREE // 3, "crack": CRACKS}
    assert "tiles" in capfd.readouterr().err


def test_the_second_call_does_nothing_but_tidy_up(home, server, capfd):
    fetch("tiles", quiet=True)
    (home / ".tiles-download").mkdir()  # a process was killed before it could remove this
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.jpg")}
    server.asked.clear()
    fetch("tiles")
    assert not server.asked and {path: path.stat().st_mtime_ns for path in home.rglob("*.jpg")} == before
    assert_whole(home)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["break", "wrong", 500, 429])
def test_a_fault_that_passes_is_got_over(home, server, fault):
    broken = "MT_Free/Imgs/free_5.jpg"
    server.faults[broken] = [fault] * download.RETRIES
    fetch("tiles", quiet=True)
    assert_whole(home)
    assert Counter(server.asked)[broken] == download.RETRIES + 1 and len(server.asked) == FILES + download.RETRIES


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("wrong", r"tiles: expected http://127\S+free_5.jpg with the SHA-256 \w{64}, got another one 5 times; it is"),
        ("break", r"tiles: expected an answer from http://127\S+, got .*IncompleteRead"),
        (404, r"tiles: expected http://127\S+free_5.jpg, got 404 Not Found; `oddlab data get tiles` goes on from here"),
        (429, r"free_5.jpg, got 429 Too Many Requests \(too many requests: wait for some minutes\); `oddlab"),
    ],
)
def test_a_fault_that_stays_is_said_and_the_next_call_goes_on(home, server, fault, says):
    broken = "MT_Free/Imgs/free_5.jpg"
    server.faults[broken] = [fault] * 100
    with pytest.raises(DownloadError, match=says) as error:
        fetch("tiles", quiet=True)
    assert "\n" not in str(error.value) and "goes on from here" in str(error.value)
    assert not (home / "tiles").exists() and not (home / ".tiles-download" / broken).exists()
    kept = {path for path in server.files if (home / ".tiles-download" / path).is_file()}
    assert all((home / ".tiles-download" / path).read_bytes() == server.files[path] for path in kept)

    server.faults.clear()
    server.asked.clear()
    fetch("tiles", quiet=True)
    assert_whole(home)
    assert kept and Counter(server.asked) == Counter(set(server.files) - kept)


def test_what_has_rotted_on_disk_is_fetched_again(home, server):
    server.faults["MT_Crack/Imgs/crack_7.png"] = [404] * 100
    with pytest.raises(DownloadError):
        fetch("tiles", quiet=True)
    rotten = next(path for path in sorted((home / ".tiles-download").rglob("*.jpg")))
    rotten.write_bytes(bytes(rotten.stat().st_size))
    server.faults.clear()
    fetch("tiles", quiet=True)
    assert_whole(home)


def test_a_server_that_is_down_is_named(home, server, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiles", replace(find("tiles"), base_url="http://127.0.0.1:1/"))
    says = r"tiles: expected an answer from http://127.0.0.1:1/\S+, got .*refused; `oddlab data get tiles` goes on"
    with pytest.raises(DownloadError, match=says):
        fetch("tiles", quiet=True)
    monkeypatch.setitem(CATALOGUE, "tiles", replace(find("tiles"), base_url=server.url))
    fetch("tiles", quiet=True)
    assert_whole(home)


def test_a_disk_without_room_is_said_before_anything_is_asked_for(home, server, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(DownloadError, match=rf"expected 50 MB of free disk for {home}, got 1 MB; .* ODDLAB_DATA"):
        fetch("tiles", quiet=True)
    assert not server.asked


@pytest.mark.parametrize("where", ["in a download", "in building"])
def test_a_disk_that_gets_full_is_said_and_the_next_call_goes_on(home, server, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path, mode):
        file = open(path, mode)
        if files_in(home) > FILES // 2:
            file.close()
            full()
        return file

    with monkeypatch.context() as patch:
        if where == "in a download":
            patch.setattr(download, "open", opened, raising=False)
        else:
            patch.setattr(layouts.os, "link", full)
            patch.setattr(layouts.shutil, "copyfile", full)
        with pytest.raises(DownloadError, match=r"expected 50 MB of free disk .* goes on from here, or name another"):
            fetch("tiles", quiet=True)
    assert [path.name for path in home.iterdir() if path.is_dir()] == [".tiles-download"]
    server.asked.clear()
    fetch("tiles", quiet=True)
    assert_whole(home)
    assert len(server.asked) < FILES


def test_interrupted_in_building_it_leaves_no_folder(home, monkeypatch):
    def interrupted(downloaded, made):
        layouts.lay_out_tiles(downloaded, made)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(CATALOGUE, "tiles", replace(find("tiles"), lay_out=interrupted))
        with pytest.raises(KeyboardInterrupt):
            fetch("tiles", quiet=True)
    assert [path.name for path in home.iterdir() if path.is_dir()] == [".tiles-download"]
    fetch("tiles", quiet=True)
    assert_whole(home)


def test_a_file_system_without_hard_links_gets_copies(home, monkeypatch):
    def without(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(layouts.os, "link", without)
    fetch("tiles", quiet=True)
    assert_whole(home)


def test_a_folder_that_cannot_be_written_is_said(home, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=r"expected a folder .*/file that can be written, got .*; ODDLAB_DATA"):
        fetch("tiles", quiet=True)


@pytest.fixture
def archive(home, server, monkeypatch) -> str:
    """The data set has an archive, and is large enough for it to be used."""
    server.files["archive"] = packed(tiles())
    monkeypatch.setitem(CATALOGUE, "tiles", replace(find("tiles"), archive=f"{server.url}archive"))
    monkeypatch.setattr(download, "MANY", 10)
    return "archive"


def test_many_files_come_as_one_archive(home, server, archive):
    fetch("tiles", quiet=True)
    assert_whole(home)
    assert server.asked == [archive]


@pytest.mark.parametrize("fault", ["break", "wrong", 404])
def test_what_an_archive_does_not_bring_comes_by_name(home, server, archive, fault):
    server.faults[archive] = [fault]
    fetch("tiles", quiet=True)
    assert_whole(home)
    by_name = Counter(server.asked[1:])
    assert set(by_name.values()) == {1} and "train_names.txt" in by_name
    assert len(by_name) < FILES if fault == "break" else len(by_name) == FILES


def test_a_wrong_file_in_an_archive_is_not_taken(home, server, archive):
    wrong = "MT_Free/Imgs/free_5.jpg"
    server.files[archive] = packed({**tiles(), wrong: bytes(len(server.files[wrong]))})
    fetch("tiles", quiet=True)
    assert_whole(home)
    assert server.asked == [archive, wrong]


def test_few_missing_files_come_by_name(home, server, archive, monkeypatch):
    monkeypatch.setattr(download, "MANY", FILES)
    fetch("tiles", quiet=True)
    assert archive not in server.asked
    assert_whole(home)


def start(*arguments: str) -> subprocess.Popen:
    data_set = find("tiles")
    command = [sys.executable, "-c", DRIVER, data_set.base_url, data_set.archive, str(data_set.registry), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(reached, process: subprocess.Popen) -> None:
    end = time.monotonic() + 30
    while process.poll() is None and not reached():
        assert time.monotonic() < end
        time.sleep(0.002)


def kill_when(reached) -> bool:
    """Start fetching the tiles and kill that when `reached`; whether it was still running."""
    process = start("data", "get", "tiles")
    wait_until(reached, process)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def files_in(folder: Path) -> int:
    return sum(len(names) for *_, names in os.walk(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_at_any_moment_it_leaves_all_or_nothing(home, server):
    """Seven times while files come, at evenly spread moments, and three times while the folder is built."""
    server.delay = 0.05
    moments = [lambda n=n: len(server.asked) >= n for n in range(1, FILES, 6)]
    moments += [lambda n=n: files_in(home / ".tiles-building") >= n for n in (1, FILES // 2, FILES - 6)]
    hit = 0
    for reached in moments:
        hit += kill_when(reached)
        if (home / "tiles").exists():
            assert_whole(home, alone=False)
    assert len(moments) == 10 and hit >= 9  # on a busy machine the last one may come too late
    assert len(server.asked) < FILES + 10 * download.THREADS  # nothing twice but what was on its way
    process = start("data", "get", "tiles")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert_whole(home)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_while_an_archive_comes(home, server, archive):
    server.delay = 0.2
    for n in (1, 20):
        assert kill_when(lambda n=n: files_in(home / ".tiles-download") >= n)
        assert not (home / "tiles").exists()
    server.delay = 0
    fetch("tiles", quiet=True)
    assert_whole(home)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_ctrl_c_says_how_to_go_on(home, server):
    server.delay = 0.3
    process = start("data", "get", "tiles")
    wait_until(lambda: len(server.asked) > 10, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "Interrupted. What has come is kept; go on with: oddlab data get tiles"
    assert "Downloading" not in stderr  # pooch's line for each file
    assert not (home / "tiles").exists() and len(server.asked) < FILES
    server.delay = 0
    fetch("tiles", quiet=True)
    assert_whole(home)


def test_of_two_at_once_the_second_waits(home, server):
    server.delay = 0.2
    both = [start("data", "get", "tiles") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("tiles: another process is fetching it" in stderr for _, stderr in outputs) == 1
    assert Counter(server.asked) == Counter(list(tiles()))
    assert_whole(home)


# The command


def oddlab(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_get_tells_what_it_fetches_and_then_fetches_it(home):
    result = oddlab("data", "get", "tiles")
    text = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    for said in ("not stated; its authors", f"in {FILES} files", "https://github.com/abin24", "Huang, Qiu, Yuan"):
        assert said in text
    assert text.index("licence") < text.index("tiles is fetched")
    result = oddlab("data", "get", "tiles")
    assert (result.exit_code, result.output) == (0, f"tiles is there already: {home / 'tiles'}\n")


def test_get_of_an_unknown_name_names_those_that_are_known(home, server):
    result = oddlab("data", "get", "tile")
    assert result.exit_code == 2 and "name: expected one of tiles, cookies, ballscrew, got 'tile'" in result.output
    with pytest.raises(ValueError, match="name: expected one of tiles, cookies, ballscrew, got 'tile'"):
        fetch("tile")
    assert not home.exists()


def test_get_that_fails_says_so_in_one_line(home, server):
    server.files.pop("train_names.txt")
    result = oddlab("data", "get", "tiles")
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if "Error" in line][0].startswith("Error: tiles: expected http")
    assert "Traceback" not in result.output


def test_list_says_what_there_is_and_what_is_there(home):
    fetch("tiles", quiet=True)
    result = oddlab("data", "list")
    text = "".join(result.output.split())
    assert result.exit_code == 0
    assert f"{home / 'tiles'}(there)" in text and f"{home / 'cookies'}(notfetchedyet)" in text
    for data_set in CATALOGUE.values():
        for said in (data_set.about, data_set.licence, data_set.source, data_set.cite, f"{data_set.images:,}"):
            assert "".join(said.split()) in text


# The catalogue


def test_the_registries_hold_what_the_catalogue_says():
    jpgs = {}
    for name, data_set in CATALOGUE.items():
        paths = [file.path for file in data_set.files]
        assert len(set(paths)) == len(paths) and paths == sorted(paths)
        assert all(len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef") for file in data_set.files)
        assert all(file.size > 0 and not file.path.startswith("/") and ".." not in file.path for file in data_set.files)
        jpgs[name] = [path for path in paths if path.endswith(".jpg")]
        assert len(jpgs[name]) == data_set.images and data_set.base_url.endswith("/")
        assert set(data_set.elsewhere) <= set(paths)
    sizes = {name: (len(data_set.files), data_set.size) for name, data_set in CATALOGUE.items()}
    assert sizes == {"tiles": (1737, 51_376_843), "cookies": (109, 35_630_776), "ballscrew": (1332, 95_368_726)}

    kinds = Counter(path.split("/")[0] for path in jpgs["tiles"])
    assert kinds.pop("MT_Free") == 952 and sum(kinds.values()) == 392 and len(kinds) == 5
    masks = {file.path for file in find("tiles").files if file.path.endswith(".png")}
    assert masks == {path.replace(".jpg", ".png") for path in jpgs["tiles"] if "MT_Free" not in path}

    masks = {Path(file.path).stem for file in find("cookies").files if file.path.endswith(".png")}
    assert masks == {Path(path).stem for path in jpgs["cookies"] if "anomaly" in path} and len(masks) == 32


def test_no_image_of_a_ball_screw_counts_as_good_after_the_first_pitting_at_its_place():
    stems = {file.path.split(".")[0] for file in find("ballscrew").files}
    labels = {stem.removeprefix("label/") for stem in stems if stem.startswith("label/")}
    images = {stem.removeprefix("data/") for stem in stems if stem.startswith("data/")}
    assert labels < images and len(labels) == 325

    def place_and_time(stem):
        _, taken, place = stem.split("_", 2)
        return place.partition("_crop")[0], taken

    first = {}
    for place, taken in map(place_and_time, labels):
        first[place] = min(taken, first.get(place, taken))
    assert len(first) == 14
    assert all(taken < first.get(place, "9") for place, taken in map(place_and_time, images - labels))


# The layouts


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_cookies(tmp_path):
    painted = np.zeros((30, 40, 4), dtype=np.uint8)
    painted[5:15, 10:30] = (35, 164, 54, 255)
    painted[15, 10:30] = (35, 164, 54, 90)  # a soft edge, mostly transparent
    palette = Image.fromarray(painted).quantize()  # as most of the published ones, with transparent colours
    file = io.BytesIO()
    palette.save(file, "png")
    data = "dataset-files"
    training = enumerate(("normal-1", "anomaly-1", "anomaly-2"))
    source = {f"{data}/training-images/{name}.jpg": jpg(i) for i, name in training}
    source |= {f"{data}/mask-images/anomaly-1.png": png(painted), f"{data}/mask-images/anomaly-2.png": file.getvalue()}
    source |= {f"test-images/{name}.jpg": jpg(9) for name in ("test-normal-1", "test-normal-2")}
    layouts.lay_out_cookies(write(tmp_path / "source", source), tmp_path / "made")

    train, test = read_folder(tmp_path / "made")
    assert [sample.image.name for sample in train] == ["normal-1.jpg"]
    assert [(s.defect, s.image.name) for s in test] == [
        ("anomaly", "anomaly-1.jpg"),
        ("anomaly", "anomaly-2.jpg"),
        ("good", "test-normal-1.jpg"),
        ("good", "test-normal-2.jpg"),
    ]
    assert test[0].image.read_bytes() == source[f"{data}/training-images/anomaly-1.jpg"]
    for sample in test[:2]:
        expected = np.zeros((30, 40), dtype=np.uint8)
        expected[5:15, 10:30] = 255
        with Image.open(sample.mask) as mask:
            assert mask.mode == "L" and (np.asarray(mask) == expected).all()


def test_ballscrew(tmp_path):
    places = [f"{i}00000_045" for i in range(1, 5)]
    names = [f"01_20090{time}_{place}_crop_2" for place in places for time in (1, 2, 3)]
    source = {f"data/{name}.jpg": jpg(i) for i, name in enumerate(names)}
    square, triangle = [[3.0, 4.0], [9.0, 4.0], [9.0, 8.0], [3.0, 8.0]], [[20.2, 20.7], [30.0, 20.0], [25.5, 27.9]]
    label = {"imageWidth": 40, "imageHeight": 30, "shapes": [{"points": square}, {"points": triangle}]}
    pitted = names[2]
    source[f"label/{pitted}.json"] = json.dumps(label).encode()
    layouts.lay_out_ballscrew(write(tmp_path / "source", source), tmp_path / "made")

    train, test = read_folder(tmp_path / "made")
    good = [sample.image.stem for sample in test if not sample.label]
    assert good == [name for name in names if places[2] in name]  # every third place, whole
    assert sorted(sample.image.stem for sample in train) == sorted(set(names) - set(good) - {pitted})
    [bad] = [sample for sample in test if sample.label]
    assert bad.image.stem == pitted and bad.defect == "pitting"
    with Image.open(bad.mask) as mask:
        pixels = np.asarray(mask)
    assert pixels.shape == (30, 40) and set(np.unique(pixels)) == {0, 255}
    assert (pixels[4:9, 3:10] == 255).all() and (pixels[:15] > 0).sum() == 5 * 7
    drawn = Image.new("1", (40, 30))
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in triangle], fill=1, outline=1)
    assert ((pixels[15:] > 0) == np.asarray(drawn)[15:]).all()


def test_tiles(tmp_path):
    layouts.lay_out_tiles(write(tmp_path / "source", tiles()), tmp_path / "home" / "tiles")
    (tmp_path / "home" / "tiles" / "SOURCE.txt").write_text(catalogue.find("tiles").attribution)
    assert_whole(tmp_path / "home")
