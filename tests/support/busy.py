"""A worker that is always in the middle of something: containers, streams and forwards."""

LOOP = r"""
import json, os, socket, sys, threading, time
def ask(method, target, body=None, more=b''):
    s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect('/run/sallyport/docker.sock')
    data = json.dumps(body).encode() if body is not None else b''
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
    if data: head += "Content-Type: application/json\r\n"
    s.sendall(head.encode() + b"\r\n" + data)
    answer = b''
    while True:
        part = s.recv(65536)
        if not part: break
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body
def containers():
    while True:
        try:
            status, body = ask('POST', '/containers/create', {'Image': 'busybox', 'Cmd': ['sh', '-c', 'echo x; sleep 0.2'], 'HostConfig': {'AutoRemove': True}})
            if status != 201: time.sleep(0.05); continue
            identity = json.loads(body)['Id']
            ask('POST', f'/containers/{identity}/start')
            ask('GET', f'/containers/{identity}/logs?stdout=1&follow=1')
        except OSError:
            time.sleep(0.05)
def forward():
    while True:
        try:
            s = socket.create_connection(('127.0.0.1', 6379)); s.sendall(b'x' * 1000); s.recv(1000); time.sleep(0.02)
        except OSError:
            time.sleep(0.05)
if os.fork() == 0:  # a worker's worker dies with it
    while True: time.sleep(1)
threading.Thread(target=containers, daemon=True).start()
threading.Thread(target=forward, daemon=True).start()
print('busy', flush=True)
while True: time.sleep(1)
"""
