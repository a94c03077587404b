"""What Snakemake's executor asks of Kubernetes, on the loopback address: a Job's command runs in a folder of its own.

A pod has the variables that its Job names, and of this process's only those that an image would have. Its programs are
forks, as those of other workflows in tests are.
"""

import base64
import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlparse

import forks

IMAGE = ("PATH", "HOME", "OMP_NUM_THREADS")
CONFIGURATION = """\
apiVersion: v1
kind: Config
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
current-context: here
"""


class Cluster:
    """A server with its Jobs, as they were submitted, by name; their folders and logs lie in `folder`.

    So does the configuration by which a client finds it, whose home that folder is.
    """

    def __init__(self, folder):
        self.folder, self.jobs, self._secrets, self._running = folder, {}, {}, {}
        (folder / "bin").mkdir(parents=True)
        # Snakemake has each pod install the storage plugin, which the image has.
        (folder / "bin" / "pip").write_text("#!/bin/sh\n")
        (folder / "bin" / "pip").chmod(0o755)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"cluster": self}))
        (folder / ".kube").mkdir()
        (folder / ".kube/config").write_text(CONFIGURATION.format(port=self._server.server_port))

    def __enter__(self):
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for process in self._running.values():
            process.kill()
            process.wait()
        self._server.shutdown()
        self._server.server_close()

    def keep_secret(self, body):
        self._secrets[body["metadata"]["name"]] = body["data"]
        return body

    def submit(self, body):
        """Start a Job's command where nothing of the project lies."""
        name = body["metadata"]["name"]
        (pod,) = body["spec"]["template"]["spec"]["containers"]
        environment = forks.forking({variable: os.environ[variable] for variable in IMAGE if variable in os.environ})
        environment["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"
        for variable in pod["env"]:
            secret = variable["valueFrom"]["secretKeyRef"]
            environment[variable["name"]] = base64.b64decode(self._secrets[secret["name"]][secret["key"]]).decode()
        place = self.folder / name
        place.mkdir()
        self.jobs[name] = body
        with (self.folder / f"{name}.log").open("w") as log:
            self._running[name] = subprocess.Popen(
                [*pod["command"], *pod["args"]],
                cwd=place,
                env=environment | {"FROD_CACHE": str(place / "cache")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return body

    def status(self, name):
        ended = self._running[name].poll()
        return {"status": {} if ended is None else {"failed": 1} if ended else {"succeeded": 1}}

    def said(self):
        """What the pods printed."""
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))


class Handler(BaseHTTPRequestHandler):
    """The requests that the executor makes, and no other."""

    cluster: Cluster

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.path.rpartition("/")[2]
        self._answer({"secrets": self.cluster.keep_secret, "jobs": self.cluster.submit}[kind](body), 201)

    def do_GET(self):
        *_, name, last = urlparse(self.path).path.split("/")
        self._answer({"items": []} if last == "pods" else self.cluster.status(name))

    def do_DELETE(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({"kind": "Status"})

    def _answer(self, content, status=200):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass
