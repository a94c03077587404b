"""A small Hub on localhost: what the real client library asks of it, and the faults that a real one can have."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Repository:
    """Files at one commit; large ones (here: parquet and safetensors) have a sha256 as with git LFS."""

    def __init__(self, revision, files, gated=False):
        self.revision, self.files, self.gated = revision, files, gated

    def entry(self, name):
        content = self.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"oid": git, "size": len(content)}
        if name.endswith((".parquet", ".safetensors")):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
        return entry


class Hub:
    """Serves `repositories` (by models/ID or datasets/ID) until `close`; `gets` has what was downloaded."""

    def __init__(self, repositories):
        self.repositories = repositories
        self.gets = []  # (name of the file, its Range header)
        self.stall_after = None  # bytes of a download after which nothing more comes
        self.refusals = 0  # how many requests are still to be answered with 503
        self.drop_after = None  # bytes of the next download after which the connection ends
        self.stalled, self.released = threading.Event(), threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        if self.hub.refusals:
            self.hub.refusals -= 1
            self.error(503, "Busy", "Try again")
            return
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/"):
            self.api(path.removeprefix("api/"))
        else:
            name, _, rest = path.partition("/resolve/")
            kind = "" if name.startswith("datasets/") else "models/"
            revision, _, file = rest.partition("/")
            self.file(kind + name, revision, file, body)

    def api(self, path):
        if not path.startswith(("datasets/", "models/")):
            self.error(404, "EntryNotFound", "nothing the tests are about")
            return
        kind, owner, short, *rest = path.split("/")
        what, revision = rest[:2] if rest else ("revision", "main")
        repository = self.find(f"{kind}/{owner}/{short}", revision)
        if repository is None:
            return
        entries = {name: repository.entry(name) for name in repository.files}
        if what == "tree":
            self.json([{"type": "file", "path": name, **entry} for name, entry in entries.items()])
            return
        siblings = []
        for name, entry in entries.items():
            lfs = entry.get("lfs")
            large = {"lfs": {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 100}} if lfs else {}
            siblings.append({"rfilename": name, "size": entry["size"], "blobId": entry["oid"]} | large)
        self.json({"id": f"{owner}/{short}", "sha": repository.revision, "siblings": siblings})

    def find(self, name, revision):
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.error(404, "RepoNotFound", "Repository not found")
        elif revision not in ("main", repository.revision):
            self.error(404, "RevisionNotFound", "Invalid rev id")
        else:
            return repository
        return None

    def file(self, name, revision, file, body):
        repository = self.find(name, revision)
        if repository is None:
            return
        if repository.gated and self.headers.get("Authorization") != "Bearer hf_good":
            self.error(403, "GatedRepo", "Access to this repository is restricted")
            return
        content, entry = repository.files[file], repository.entry(file)
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{entry.get("lfs", entry)["oid"]}"')
        self.send_header("X-Repo-Commit", repository.revision)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.hub.gets.append((file, asked))
            self.send(content[start:])

    def send(self, content):
        drop, stall = self.hub.drop_after, self.hub.stall_after
        cuts = [cut for cut in (drop, stall) if cut is not None and cut < len(content)]
        self.wfile.write(content[: min(cuts)] if cuts else content)
        self.wfile.flush()
        if not cuts:
            return
        self.close_connection = True
        if cuts == [drop]:
            self.hub.drop_after = None
        else:
            self.hub.stalled.set()
            self.hub.released.wait()

    def json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def error(self, status, code, message):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()
