"""Profiles for tests, written as a person would write them."""
import json
import pathlib

# The profile under which the corpora run: see tests/corpus/README.md.
CORPUS_GROUPS = ("run", "stop", "remove", "observe")


def toml_value(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    raise TypeError(value)


def section(name: str, values: dict, repeated=False) -> str:
    brackets = ("[[", "]]") if repeated else ("[", "]")
    return f"{brackets[0]}{name}{brackets[1]}\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in values.items() if v is not None)


def profile_text(command=("/usr/bin/true",), worker=None, sandbox=None, limits=None, forwards=(), docker=None, container=None,
                 budget=None, **top) -> str:
    """docker=None: a profile without the API door; docker={}: the usual groups and busybox."""
    text = "".join(f"{k} = {toml_value(v)}\n" for k, v in top.items())
    text += section("worker", {"command": list(command), **(worker or {})})
    text += section("sandbox", {"root": "host", **(sandbox or {})})
    if limits:
        text += section("limits", limits)
    for forward in forwards:
        text += section("forward", forward, repeated=True)
    if docker is not None:
        text += section("docker", {"allow": ["run", "stop", "remove", "observe"], "images": ["busybox:*"], **docker})
        if container:
            text += section("docker.container", container)
        if budget:
            text += section("docker.budget", budget)
    return text


def write_profile(directory, name: str, text=None, **sections) -> str:
    path = pathlib.Path(directory) / f"{name}.toml"
    path.write_text(profile_text(**sections) if text is None else text)
    path.chmod(0o644)
    return name
