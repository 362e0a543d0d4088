"""A real process that records entries until it is killed: `python writing_process.py URL SCHEMA NAME THREADS`.

Prints each receipt as one line of JSON, flushed, as soon as it has it: what is printed was acknowledged.
"""

import sys
import threading
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, text

from provenance.log.checkpoints import CheckpointSigner
from provenance.log.entries import Entry, EntryKind, commit
from provenance.log.ledger import Ledger
from provenance.log.openings import Openings

KEY = bytes(range(32))
SALT = bytes(32)
OPENINGS = Openings(bytes(32))
SIGNER = CheckpointSigner("gateway.example/log", Ed25519PrivateKey.from_private_bytes(KEY))


def an_entry(request_id: str) -> Entry:
    return Entry(
        request_id=request_id,
        outcome=EntryKind.DELIVERED,
        time=datetime.now(UTC),
        dialect="native",
        stage="recorded",
        commitments={"prompt": commit(SALT, "prompt", request_id.encode())},
    )


def main() -> None:
    url, options, name, threads = sys.argv[1:]
    engine = create_engine(url, connect_args={"options": options} if options else {})
    ledger = Ledger(engine, SIGNER, OPENINGS, wait_seconds=30)
    printing = threading.Lock()

    def write(thread: int) -> None:
        number = 0
        while True:
            request_id = f"{name}_{thread}_{number}"
            picture = text("INSERT INTO pictures VALUES (:id)").bindparams(id=request_id)
            receipt = ledger.record(an_entry(request_id), lambda c, picture=picture: c.execute(picture), salt=SALT)
            with printing:
                print(receipt.to_json(), flush=True)
            number += 1

    for thread in range(int(threads)):
        threading.Thread(target=write, args=(thread,)).start()


if __name__ == "__main__":
    main()
