"""One function written for each runtime, which does what its event asks for.

`{"do": "echo"}` answers the event, `fail` raises, `exit` ends the process with status 7, `hang`
never answers, `hog` takes memory without end, `big` answers `{"size": N}` bytes, `print` writes two
lines, `count` counts its own invocations, `leave` and `find` write and look for a file in /tmp.
With the variable INIT it fails while it is loaded (`fail`), or ends (`exit`).
"""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

PYTHON = """
import json, os, time
if os.environ.get('INIT') == 'fail':
    raise ValueError('no init')
if os.environ.get('INIT') == 'exit':
    os._exit(7)
count = 0
def handler(event, context):
    global count
    count += 1
    do = event.get('do')
    if do == 'fail':
        raise ValueError('asked to fail')
    if do == 'exit':
        os._exit(7)
    if do == 'hang':
        time.sleep(600)
    if do == 'hog':
        held = []
        while True:
            held.append(bytearray(1 << 20))
    if do == 'big':
        return 'x' * event['size']
    if do == 'print':
        print('first line')
        print('second line')
    if do == 'count':
        return count
    if do == 'leave':
        open('/tmp/left', 'w').close()
    if do == 'find':
        return os.path.exists('/tmp/left')
    return event
"""

NODE = """
const fs = require('fs');
if (process.env.INIT === 'fail') throw new Error('no init');
if (process.env.INIT === 'exit') process.exit(7);
let count = 0;
exports.handler = async (event) => {
  count += 1;
  switch (event.do) {
    case 'fail': throw new Error('asked to fail');
    case 'exit': process.exit(7);
    case 'hang': await new Promise((resolve) => setTimeout(resolve, 600000)); break;
    case 'hog': { const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1)); }
    case 'big': return 'x'.repeat(event.size);
    case 'print': console.log('first line'); console.log('second line'); break;
    case 'count': return count;
    case 'leave': fs.writeFileSync('/tmp/left', ''); break;
    case 'find': return fs.existsSync('/tmp/left');
  }
  return event;
};
"""

NODE_STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/plain');
  for (let n = 0; n < event.pieces; n++) stream.write(`piece ${n}\\n`);
  if (event.fail) throw new Error('asked to fail');
  stream.end();
});
"""

PROGRAMS = Path(__file__).with_name("programs")

IDENTIFIERS = {
    "python": "python3.11",
    "node": "nodejs20.x",
    "java": "java17",
    "provided": "provided.al2023",
}

COMPILERS = {"java": "javac", "provided": "gcc", "node": "node"}


def compiled(runtime: str, directory: Path) -> bytes:
    """The deployment package of a runtime's program; `directory` is for the compiler's files."""
    if runtime == "java":
        shutil.copy(PROGRAMS / "App.java", directory)
        subprocess.run(["javac", "App.java"], cwd=directory, check=True)
        return _archive({"App.class": (directory / "App.class").read_bytes()})
    if runtime == "provided":
        command = ["gcc", "-O1", "-w", "-o", "bootstrap", str(PROGRAMS / "everything.c")]
        subprocess.run(command, cwd=directory, check=True)
        return _archive({"bootstrap": (directory / "bootstrap").read_bytes()})
    name, text = ("app.py", PYTHON) if runtime == "python" else ("app.js", NODE)
    return _archive({name: text, "streaming.js": NODE_STREAMING})


def is_installed(runtime: str) -> bool:
    """Whether this machine can run, and where needed compile, the runtime's program."""
    return runtime not in COMPILERS or shutil.which(COMPILERS[runtime]) is not None


def _archive(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
