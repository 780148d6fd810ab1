"""The workspace: nothing leads out of it, and what it takes is bounded."""

import errno
import gzip
import os
import time
import zlib

import pytest

import workspace as module
from support.example import call, example_server
from workspace import BadPathError, Workspace, WorkspaceFullError

LEADING_OUT = [
    "..",
    "../secret",
    "a/../../secret",
    "..%2fsecret",
    "%2e%2e/secret",
    "%252e%252e/secret",
    "/etc/passwd",
    "a//b",
    "./a",
    ".hidden",
    "a\x00b",
    "a\\b",
    "a\nb",
    "",
    "x" * 201,
    "/".join("a" * 17),
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret").write_text("outside")
    return tmp_path / "inside"


def everything_below(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_is_written_is_read_again_and_replaced_as_a_whole(root):
    space = Workspace(root)
    assert space.write("notes/today.txt", b"one")
    assert not space.write("notes/today.txt", b"two")
    assert space.read("notes/today.txt") == b"two"
    assert everything_below(root) == {"notes", "notes/today.txt"}


def test_what_a_killed_server_was_writing_goes_and_what_is_being_written_stays(root):
    (root / "notes").mkdir(parents=True)
    long_ago = time.time() - 2 * module.LONGEST_WRITE
    for name in (".0123456789abcdef.part", "notes/.killed.part", "notes/.live.part", "notes/mine.part"):
        (root / name).write_text("half")
        if "live" not in name:
            os.utime(root / name, (long_ago, long_ago))
    (root / "out.part").symlink_to(root.parent / "secret")
    Workspace(root)
    assert everything_below(root) == {"notes", "notes/.live.part", "notes/mine.part", "out.part"}


@pytest.mark.parametrize("path", LEADING_OUT)
def test_a_path_that_could_lead_out_is_neither_read_nor_written(root, path):
    space = Workspace(root)
    with pytest.raises(BadPathError):
        space.read(path)
    with pytest.raises(BadPathError):
        space.write(path, b"x")
    assert everything_below(root.parent) == {"secret", "inside"}


def test_links_are_followed_neither_as_files_nor_as_folders(root):
    space = Workspace(root)
    (root / "file").symlink_to(root.parent / "secret")
    (root / "folder").symlink_to(root.parent)
    for path in ("file", "folder/secret", "folder/new"):
        with pytest.raises(BadPathError):
            space.read(path)
        with pytest.raises(BadPathError):
            space.write(path, b"x")
    assert (root.parent / "secret").read_text() == "outside"
    assert not (root.parent / "new").exists()


def test_pipes_and_folders_are_no_files_and_block_nobody(root):
    space = Workspace(root)
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for path in ("pipe", "folder"):
        with pytest.raises(BadPathError):
            space.read(path)
        with pytest.raises(BadPathError):
            space.write(path, b"x")


@pytest.mark.parametrize(
    ("code", "told"),
    [(errno.ENOSPC, WorkspaceFullError), (errno.EDQUOT, WorkspaceFullError), (errno.EIO, OSError)],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else_and_is_no_bad_path(
    code, told, root, monkeypatch
):
    space = Workspace(root)
    space.write("a", b"old")
    monkeypatch.setattr(module.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(code, "told")))
    with pytest.raises(told):
        space.write("a", b"new")
    assert space.read("a") == b"old"
    assert everything_below(root) == {"a"}


def test_a_folder_for_which_the_disk_has_no_room_is_no_bad_path(root, monkeypatch):
    space = Workspace(root)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "told")

    monkeypatch.setattr(module.os, "mkdir", full)
    with pytest.raises(WorkspaceFullError):
        space.write("folder/a", b"x")
    assert everything_below(root) == set()


def test_the_number_of_files_and_their_bytes_are_bounded(root, monkeypatch):
    space = Workspace(root)
    monkeypatch.setattr(module, "MAX_FILES", 2)
    space.write("a", b"x")
    space.write("b", b"x")
    with pytest.raises(WorkspaceFullError):
        space.write("c", b"x")
    monkeypatch.setattr(module, "MAX_FILES", 100)
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 3)
    space.write("c", b"x")
    with pytest.raises(WorkspaceFullError):
        space.write("d", b"xx")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    with example_server(workspace=str(folder / "files")) as program:
        program.folder = folder
        yield program


def put(server, path, body, headers=None):
    return call("PUT", f"{server.url}/api/files/{path}", body, headers)


def test_files_are_put_and_got_over_http(server):
    assert put(server, "a/b.bin", b"\x00\x01").status == 201
    assert put(server, "a/b.bin", b"\x02").status == 204
    got = server.get("/api/files/a/b.bin")
    assert (got.status, got.body, got.headers["X-Content-Type-Options"]) == (200, b"\x02", "nosniff")
    assert server.get("/api/files/a/none").status == 404


@pytest.mark.parametrize(
    "path", ["../x", "..%2fx", "%2e%2e%2fx", "%252e%252e/x", "a%00b", "/etc/passwd", "%2fetc%2fpasswd", ".x"]
)
def test_no_url_leads_out(server, path):
    assert 400 <= server.get(f"/api/files/{path}").status < 500
    assert 400 <= put(server, path, b"x").status < 500
    assert {p.name for p in server.folder.iterdir()} == {"files"}


def test_a_file_of_ten_megabytes_is_taken_and_a_longer_one_is_413_however_it_is_sent(server):
    limit = 10 * 1024 * 1024
    assert put(server, "whole", b"x" * limit).status == 201
    announced = {"Content-Length": str(limit + 1)}
    assert put(server, "announced", b"", announced).status == 413
    bomb = gzip.compress(b"\x00" * (limit + 1))
    assert put(server, "bomb", bomb, {"Content-Encoding": "gzip"}).status == 413
    assert (
        put(server, "bomb", zlib.compress(b"\x00" * 50 * limit), {"Content-Encoding": "deflate"}).status
        == 413
    )
    assert server.get("/api/files/bomb").status == 404


def test_a_compressed_file_is_stored_as_what_it_is(server):
    assert put(server, "text", gzip.compress(b"plain"), {"Content-Encoding": "gzip"}).status == 201
    assert server.get("/api/files/text").body == b"plain"
    assert put(server, "rubbish", b"no gzip", {"Content-Encoding": "gzip"}).status == 400
    assert put(server, "torn", gzip.compress(b"plain")[:-4], {"Content-Encoding": "gzip"}).status == 400
    assert put(server, "br", b"x", {"Content-Encoding": "br"}).status == 415
