"""The measured rows in a file, a line of JSON each, so that a long run can be taken up again."""

import dataclasses
import hashlib
import json

import cases
from metrics import Score

PROGRAMS = ["plimsoll", "tools/random_model/random-model"]


def identities(options):
    """For each case's name that of the programs and of what is asked of them: other rows are other measurements."""
    digest = hashlib.sha256(f"{options.seeds} {options.peer_only} {cases.DIMENSIONS}".encode())
    for program in PROGRAMS:
        digest.update((options.build / program).read_bytes())
    of_case = {}
    for case in cases.ARCHITECTURES + cases.VARIANTS:
        with_options = digest.copy()
        with_options.update(case.options.encode())
        of_case[case.name] = with_options.hexdigest()
    return of_case


class RawRows:
    def __init__(self, path, options):
        self._path = path
        self._of = identities(options)

    def read(self):
        """Scores by case and type; what other programs left is passed over."""
        rows = {}
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for row in map(json.loads, lines):
            if row["of"] == self._of.get(row["case"]):
                rows[row["case"], row["type"]] = tuple(score and Score(**score) for score in row["scores"])
        return rows

    def append(self, case, dtype, *scores):
        row = {"of": self._of[case], "case": case, "type": dtype, "scores": [score and dataclasses.asdict(score) for score in scores]}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
