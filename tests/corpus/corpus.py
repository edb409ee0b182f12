"""Reads the corpora and knows which routes are this version's."""
import base64
import json
import os
import pathlib
import re
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent

# Routes of Docker's API, to tell "a route that this version serves", "another route of Docker's" and "no route at all".
SERVED = [r"_ping", r"version", r"info", r"containers/create", r"containers/json",
          r"containers/[^/]+/(attach|wait|start|resize|logs|kill|stop|json)", r"containers/[^/]+"]
OTHER = [r"(containers|images|volumes|networks|exec|swarm|services|nodes|tasks|secrets|configs|plugins|system|distribution|build)(/.*)?",
         r"(commit|auth|session|grpc|events)", r"debug/.*"]


def _join(parts) -> str:
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in parts)


class Line:
    def __init__(self, fields):
        self.fields = fields
        self.id, self.expect = fields["id"], fields["expect"]
        self.method, self.target = fields["method"], fields["target"]

    def kind(self) -> str:
        path = re.sub(r"^/v[0-9.]+/", "/", self.target.split("?")[0]).lstrip("/")
        if any(re.fullmatch(pattern, path) for pattern in SERVED):
            return "served"
        return "other" if any(re.fullmatch(pattern, path) for pattern in OTHER) else "no route"

    def tokens(self) -> set:
        text = self.target + self.fields["body"] + (self._raw() or b"").decode("latin-1")
        return set(re.findall(r"\{\{([A-Z_0-9]+)\}\}", text))

    def _raw(self):
        if self.fields.get("raw_parts"):
            return _join(self.fields["raw_parts"]).encode("latin-1")
        return base64.b64decode(self.fields["raw"]) if self.fields.get("raw") else None

    def bytes(self, values: dict) -> bytes:
        def fill(text):
            for token, value in values.items():
                text = text.replace("{{" + token + "}}", value)
            return text
        raw = self._raw()
        if raw is not None:
            return fill(raw.decode("latin-1")).encode("latin-1")
        body = fill(_join(self.fields["body_parts"]) if self.fields.get("body_parts") else self.fields["body"]).encode()
        headers = {"Host": "docker", **self.fields["headers"]}
        headers.pop("Content-Length", None)
        if body or self.method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body))
        if "Connection" not in headers:
            headers["Connection"] = "close"
        target = fill(self.target)
        if not target.isascii() or " " in target:
            target = urllib.parse.quote(target, safe="/?&=%:{}[]\\;#*.,+-_~")
        head = f"{self.method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        return head.encode() + body


def part(lines) -> list:
    """All, or every so manieth where a run says so: scripts/test repeats a part of the corpora on other dockerds."""
    return lines[::int(os.environ.get("SALLYPORT_TEST_CORPUS_EVERY", "1"))]


def load(name) -> list:
    with open(HERE / name) as file:
        return [Line(json.loads(line)) for line in file]
