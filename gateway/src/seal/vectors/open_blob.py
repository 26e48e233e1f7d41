"""Opens a stored message given its ContentKey: open_blob.py FILE OFFSET LENGTH KEY_HEX VERSION_HEX PART > plain

FILE may be a blob file (its message begins at offset 0) or a segment file; storage/FORMAT.md tells where messages lie.
"""
import sys

from sealed import context, open_message

path, offset, length, key, version, part = sys.argv[1:]
with open(path, "rb") as file:
    file.seek(int(offset))
    message = file.read(int(length))
sys.stdout.buffer.write(open_message(bytes.fromhex(key), context(version, int(part)), message))
