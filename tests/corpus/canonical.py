"""An independent check of what may reach dockerd, and of what a container of a session may be. Nothing here is derived
from the broker's tables: a mistake there must not be repeated here."""
import json
import re

ID = r"[0-9a-f]{64}"
OWN_REQUESTS = [  # (method, path, allowed query keys)
    ("POST", rf"/v1\.41/containers/({ID})/(start|kill|stop|wait|resize|attach)",
     {"signal", "t", "condition", "h", "w", "logs", "stream", "stdin", "stdout", "stderr", "detachKeys"}),
    ("GET", rf"/v1\.41/containers/({ID})/(json|logs)", {"stdout", "stderr", "follow", "timestamps", "since", "until", "tail", "size"}),
    ("DELETE", rf"/v1\.41/containers/({ID})", {"force", "v"}),
]
FREE_REQUESTS = [
    ("GET", r"/_ping", set()), ("GET", r"/v1\.41/(_ping|version|info)", set()), ("GET", r"/(version|info)", set()),
    ("GET", r"/v1\.41/containers/json", {"all", "filters"}),
    ("GET", r"/v1\.41/images/[A-Za-z0-9_.:@/-]+/json", set()),
    ("POST", r"/v1\.41/containers/create", {"name"}),
]
HEADERS = {"host", "connection", "upgrade", "content-type", "content-length", "user-agent", "accept"}
CREATE_KEYS = {"Hostname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Env", "Cmd",
               "Entrypoint", "Image", "WorkingDir", "Labels", "StopSignal", "StopTimeout", "Healthcheck", "HostConfig",
               "NetworkDisabled", "Domainname", "NetworkingConfig"}
HOST_KEYS = {"Memory", "MemorySwap", "CpuPeriod", "CpuQuota", "NanoCpus", "PidsLimit", "Ulimits", "ShmSize", "CgroupParent",
             "NetworkMode", "IpcMode", "CgroupnsMode", "CapDrop", "SecurityOpt", "ReadonlyRootfs", "Tmpfs", "LogConfig",
             "Mounts", "OomScoreAdj", "CapAdd", "PublishAllPorts", "RestartPolicy", "AutoRemove", "Init", "Runtime", "Privileged", "OomKillDisable", "UTSMode", "PidMode", "UsernsMode"}
NEUTRAL = (None, False, 0, "", [], {})


def problems_of_request(request, session, own_ids, version="1.41") -> list:
    """`version`: of the API, the one that this dockerd has to be asked in; the patterns are written in 1.41."""
    found = []
    asked_in, _, rest = request.path.removeprefix("/").partition("/")
    path = f"/v1.41/{rest}" if asked_in == f"v{version}" else "another version" if asked_in == "v1.41" else request.path
    for method, pattern, keys in OWN_REQUESTS + FREE_REQUESTS:
        match = re.fullmatch(pattern, path)
        if request.method != method or not match:
            continue
        if set(request.query) - keys:
            found.append(f"query {request.query}")
        if (method, pattern, keys) in OWN_REQUESTS and match.group(1) not in own_ids:
            found.append(f"names {match.group(1)}, which is not this session's")
        break
    else:
        found.append("no request that the keeper may write")
    if request.version != "HTTP/1.1" or set(request.headers) - HEADERS:
        found.append(f"headers {request.headers}")
    if request.headers.get("upgrade", "tcp") != "tcp" or ("upgrade" in request.headers) != request.path.endswith("/attach"):
        found.append(f"upgrade {request.headers}")
    if request.path.endswith("/containers/create"):
        found += problems_of_create(request, session)
    elif request.body:
        found.append(f"a body: {request.body[:100]!r}")
    return [f"{problem} in {request!r}" for problem in found]


def _no_duplicates(pairs):
    if len({key.lower() for key, _ in pairs}) != len(pairs):
        raise ValueError(f"a key twice: {pairs}")
    return dict(pairs)


def problems_of_create(request, session) -> list:
    if not re.fullmatch(rf"sp-{session}-[a-zA-Z0-9][a-zA-Z0-9_.-]*", request.query.get("name", "")):
        return [f"name {request.query}"]
    body = json.loads(request.body, object_pairs_hook=_no_duplicates)
    found = [f"key {key}" for key in set(body) - CREATE_KEYS]
    host = body["HostConfig"]
    found += [f"key HostConfig.{key}" for key in set(host) - HOST_KEYS]
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", body["Image"]):
        found.append(f"Image {body['Image']}")
    if set(body["Labels"]) != {"sallyport.broker", "sallyport.session"} or body["Labels"]["sallyport.session"] != session:
        found.append(f"Labels {body['Labels']}")
    if body.get("NetworkingConfig") not in NEUTRAL + ({"EndpointsConfig": {}},):
        found.append("NetworkingConfig")
    return found + problems_of_config(body, host)


def problems_of_config(config, host) -> list:
    """The same for what was sent and for what dockerd made of it."""
    found = []

    def must(name, good, value):
        if not good:
            found.append(f"{name} is {value!r}")
    for key in ("Privileged", "Binds", "VolumesFrom", "VolumeDriver", "Devices", "DeviceCgroupRules", "DeviceRequests",
                "CapAdd", "Capabilities", "GroupAdd", "Links", "PortBindings", "PublishAllPorts", "ExtraHosts", "Dns", "DnsSearch",
                "DnsOptions", "PidMode", "UTSMode", "UsernsMode", "Cgroup", "Sysctls", "StorageOpt",
                "OomKillDisable", "Isolation", "Annotations", "CpusetCpus", "CpusetMems", "BlkioDeviceReadBps", "BlkioDeviceWriteBps",
                "BlkioWeightDevice", "KernelMemory", "CpuRealtimePeriod", "CpuRealtimeRuntime", "ContainerIDFile"):
        must(f"HostConfig.{key}", host.get(key) in NEUTRAL, host.get(key))
    must("NetworkMode", host["NetworkMode"] == "none", host["NetworkMode"])
    must("IpcMode", host["IpcMode"] in ("private", "none"), host["IpcMode"])
    must("CgroupnsMode", host.get("CgroupnsMode") == "private", host.get("CgroupnsMode"))
    must("CapDrop", host["CapDrop"] == ["ALL"], host["CapDrop"])
    options = host["SecurityOpt"]
    must("SecurityOpt", len(options) == 2 and any(o.startswith("no-new-privileges") and not o.endswith("false") for o in options) and
         any(o.startswith("seccomp={") for o in options), options)
    must("ReadonlyRootfs", host["ReadonlyRootfs"] is True, host["ReadonlyRootfs"])
    must("Memory", 0 < host["Memory"] <= 64 << 20, host["Memory"])
    must("MemorySwap", host.get("MemorySwap") == host["Memory"], host.get("MemorySwap"))
    must("PidsLimit", 0 < (host["PidsLimit"] or 0) <= 128, host["PidsLimit"])
    must("CPU limit", host.get("NanoCpus", 0) > 0 or (host.get("CpuQuota", 0) > 0 and host.get("CpuPeriod", 0) > 0), host)
    must("ShmSize", 0 < host["ShmSize"] <= 64 << 20, host["ShmSize"])
    log = host["LogConfig"]
    must("LogConfig", log["Type"] == "json-file" and set(log["Config"]) == {"max-size", "max-file"} and
         log["Config"]["max-file"] == "1", log)
    must("RestartPolicy", host.get("RestartPolicy") in (None, {"Name": "no", "MaximumRetryCount": 0}, {"Name": "no"}, {"Name": "", "MaximumRetryCount": 0}),
         host.get("RestartPolicy"))
    must("CgroupParent", re.fullmatch(r"/sallyport-[0-9a-f]{12}|sallyport-[0-9a-f]{12}\.slice", host["CgroupParent"]), host["CgroupParent"])
    must("Runtime", host["Runtime"] == "runc", host["Runtime"])
    must("Ulimits", all(u["Name"] in ("core", "nofile", "nproc") for u in host.get("Ulimits") or []), host.get("Ulimits"))
    must("core limit", any(u["Name"] == "core" and u["Hard"] == u["Soft"] == 1 for u in host.get("Ulimits") or []), host.get("Ulimits"))
    must("OomScoreAdj", host.get("OomScoreAdj") == 1000, host.get("OomScoreAdj"))
    tmpfs = host.get("Tmpfs") or {}
    uid = config["User"].split(":")[0]
    options = dict(option.partition("=")[::2] for option in tmpfs.get("/tmp", "").split(","))
    must("Tmpfs", set(tmpfs) == {"/tmp"} and {"nosuid", "nodev", "noexec"} <= set(options) and 0 < int(options["size"]) <= 64 << 20 and
         options["uid"] == options["gid"] == uid and set(options) <= {"rw", "nosuid", "nodev", "noexec", "size", "mode", "uid", "gid"}, tmpfs)
    must("Mounts", host.get("Mounts") in NEUTRAL, host.get("Mounts"))
    must("User", re.fullmatch(r"\d{5,}:\d{5,}", config["User"]), config["User"])
    must("Volumes", config.get("Volumes") in NEUTRAL, config.get("Volumes"))
    must("Healthcheck", config.get("Healthcheck") == {"Test": ["NONE"]}, config.get("Healthcheck"))
    must("ExposedPorts", config.get("ExposedPorts") in NEUTRAL, config.get("ExposedPorts"))
    must("OnBuild", config.get("OnBuild") in NEUTRAL, config.get("OnBuild"))
    must("MacAddress", config.get("MacAddress") in NEUTRAL, config.get("MacAddress"))
    must("StopTimeout", (config.get("StopTimeout") or 0) <= 30, config.get("StopTimeout"))
    must("WorkingDir", not re.match(r"/(proc|sys|dev)(/|$)", config.get("WorkingDir") or ""), config.get("WorkingDir"))
    return found


def problems_of_container(inspected, session) -> list:
    found = problems_of_config(inspected["Config"], inspected["HostConfig"])
    labels = {k: v for k, v in inspected["Config"]["Labels"].items() if k.startswith("sallyport.")}
    if labels.get("sallyport.session") != session:
        found.append(f"labels {labels}")
    for key in ("MaskedPaths", "ReadonlyPaths"):
        if not inspected["HostConfig"][key]:
            found.append(f"{key} is empty")
    if any(mount["Type"] != "tmpfs" for mount in inspected["Mounts"]):
        found.append(f"mounts {inspected['Mounts']}")
    return found
