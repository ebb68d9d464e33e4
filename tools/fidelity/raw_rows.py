"""The measured rows in a file, a line of JSON each, so that a long run can be taken up again."""

import dataclasses
import hashlib
import json

from metrics import Score

PROGRAMS = ["plimsoll", "tools/random_model/random-model"]


def identity(options):
    """Of the programs and of what is asked of them: other rows are other measurements."""
    digest = hashlib.sha256(f"{options.seeds} {options.peer_only}".encode())
    for program in PROGRAMS:
        digest.update((options.build / program).read_bytes())
    return digest.hexdigest()


class RawRows:
    def __init__(self, path, options):
        self._path = path
        self._of = identity(options)

    def read(self):
        """Scores by case and type; what other programs left is passed over."""
        rows = {}
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for row in map(json.loads, lines):
            if row["of"] == self._of:
                rows[row["case"], row["type"]] = tuple(score and Score(**score) for score in row["scores"])
        return rows

    def append(self, case, dtype, *scores):
        row = {"of": self._of, "case": case, "type": dtype, "scores": [score and dataclasses.asdict(score) for score in scores]}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
