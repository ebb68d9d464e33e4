#!/usr/bin/env python3
"""Writes the training text of the bundled model: documents drawn from a small grammar.

Several kinds of document, so that experts have something to specialise on: stories, facts, recall of
codes hidden in filler, lists to repeat, sums, records and snippets of code. Nothing is anyone's text.
One document after another, each closed by the line <|endoftext|>. The same seed gives the same text.
"""

import argparse
import json
import random

END = "<|endoftext|>"

NAMES = ("Ada Anton Bela Carl Dora Emil Fay Georg Hana Ivo Jana Karl Leo Lina Mats Nina Oskar Pia "
         "Rolf Sara Tom Ulla Vera Wim Yara Zeno").split()
ANIMALS = "badger bear beaver cat crane deer dog duck fox hare hen horse mole otter owl wolf".split()
COLOURS = "black blue brown golden green grey pink purple red silver white yellow".split()
THINGS = ("anchor bell book bottle box bucket candle chair clock coat cup drum flute hat kettle key "
          "lamp letter rope stone").split()
PLACES = ("barn beach bridge cave farm field garden harbour hill inn lake market mill path river "
          "school tower village well wood").split()
MOODS = "afraid angry bored calm glad hungry lonely proud sleepy tired".split()
WEATHERS = "bright cloudy cold dry foggy rainy stormy warm wet windy".split()
# Present and past.
DEEDS = (("break", "broke"), ("bring", "brought"), ("carry", "carried"), ("clean", "cleaned"),
         ("find", "found"), ("hide", "hid"), ("mend", "mended"), ("paint", "painted"),
         ("sell", "sold"), ("take", "took"))
NUMBERS = "two three four five six seven eight nine ten eleven twelve".split()
CAPITALS = {
    "Europe": {"Austria": "Vienna", "Denmark": "Copenhagen", "Finland": "Helsinki",
               "France": "Paris", "Germany": "Berlin", "Greece": "Athens", "Hungary": "Budapest",
               "Iceland": "Reykjavik", "Ireland": "Dublin", "Italy": "Rome", "Norway": "Oslo",
               "Poland": "Warsaw", "Portugal": "Lisbon", "Spain": "Madrid",
               "Sweden": "Stockholm"},
    "Asia": {"China": "Beijing", "India": "New Delhi", "Japan": "Tokyo", "Nepal": "Kathmandu",
             "Thailand": "Bangkok", "Turkey": "Ankara", "Vietnam": "Hanoi"},
    "Africa": {"Egypt": "Cairo", "Ghana": "Accra", "Kenya": "Nairobi"},
    "South America": {"Brazil": "Brasilia", "Chile": "Santiago", "Peru": "Lima"},
    "North America": {"Canada": "Ottawa", "Cuba": "Havana"},
}
CAPITAL_OF = {c: city for part in CAPITALS.values() for c, city in part.items()}
CONTINENT_OF = {country: name for name, part in CAPITALS.items() for country in part}


def chat(turns):
    """Question-answer pairs in ChatML."""
    return "".join(f"<|im_start|>user\n{question}<|im_end|>\n"
                   f"<|im_start|>assistant\n{answer}<|im_end|>\n" for question, answer in turns)


class Corpus:
    """Draws documents. `kinds` pairs each kind of document with its share."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = ((self.story, 12), (self.story_chat, 10), (self.repeat_list, 18),
                      (self.recall_near, 13), (self.recall_far, 13), (self.facts, 10),
                      (self.sums, 7), (self.record, 7), (self.snippets, 4), (self.greeting, 6))

    def pick(self, *options):
        return self.random.choice(options)

    def any(self, words):
        return self.random.choice(words)

    def thing(self):
        return f"{self.any(COLOURS)} {self.any(THINGS)}"

    def filler(self, who=None):
        """One sentence that leads nowhere."""
        who, thing, place = who or self.any(NAMES), self.thing(), self.any(PLACES)
        deed, done = self.any(DEEDS)
        return self.pick(
            f"{who} {done} the {thing} at the {place}.",
            f"{who} went to the {place} to {deed} a {thing}.",
            f"It was a {self.any(WEATHERS)} day at the {place}.",
            f"A {self.any(ANIMALS)} slept behind the {place}.",
            f"\"Who {done} my {thing}?\" {who} asked.",
            f"{who} was {self.any(MOODS)} and stayed near the {place}.",
            f"{who} saw {self.any(NUMBERS)} {self.any(ANIMALS)}s beside the {thing}.",
            f"After {self.any(NUMBERS)} days the {thing} was still at the {place}.")

    def story(self, hero=None, animal=None):
        hero, animal = hero or self.any(NAMES), animal or self.any(ANIMALS)
        friend = self.any([name for name in NAMES if name != hero])
        thing, (deed, done) = self.thing(), self.any(DEEDS)
        middle = [self.filler(self.pick(hero, friend)) for _ in range(self.random.randint(1, 5))]
        return " ".join([
            f"There was once a {animal} called {hero} who lived by the {self.any(PLACES)}.",
            f"{hero} owned a {thing} and was {self.any(MOODS)} without it.",
            f"One {self.any(WEATHERS)} morning {hero} met {friend}.", *middle,
            self.pick(f"In the end {friend} {done} the {thing}, and both laughed.",
                      f"\"Help me {deed} the {thing},\" said {hero}, and {friend} helped.",
                      f"Then {friend} brought the {thing} back."),
            f"Since then {hero} the {animal} and {friend} have been friends."])

    def story_chat(self):
        hero, animal = self.any(NAMES), self.any(ANIMALS)
        question = self.pick(f"Tell me a story about a {animal} called {hero}.",
                             f"Tell me about {hero} the {animal}.")
        return chat([(question, self.story(hero, animal))])

    def recall(self, n_filler, n_codes, n_asked):
        """Codes at random places in filler, some of which are asked for."""
        things = self.random.sample([f"{c} {t}" for c in COLOURS for t in THINGS], n_codes)
        codes = {thing: self.random.randint(1000, 9999) for thing in things}
        text = [self.filler() for _ in range(n_filler)]
        for thing, code in codes.items():
            text.insert(self.random.randint(0, len(text)), f"The code of the {thing} is {code}.")
        turns = [(f"What is the code of the {thing}?", f"The code of the {thing} is {codes[thing]}.")
                 for thing in self.random.sample(things, min(n_asked, n_codes))]
        turns[0] = (" ".join([*text, turns[0][0]]), turns[0][1])
        return chat(turns)

    def recall_near(self):
        return self.recall(self.random.randint(0, 6), self.random.randint(1, 3), 2)

    def recall_far(self):
        return self.recall(self.random.randint(6, 50), self.random.randint(1, 6), 3)

    def facts(self):
        turns = []
        for country in self.random.sample(sorted(CAPITAL_OF), self.random.randint(1, 4)):
            city = CAPITAL_OF[country]
            turns.append(self.pick(
                (f"What is the capital of {country}?", f"The capital of {country} is {city}."),
                (f"Which country has the capital {city}?", f"{city} is the capital of {country}."),
                (f"On which continent is {country}?", f"{country} is in {CONTINENT_OF[country]}.")))
        return chat(turns)

    def sums(self):
        turns = []
        for _ in range(self.random.randint(1, 4)):
            low, high = sorted((self.random.randint(0, 99), self.random.randint(0, 99)))
            turns.append(self.pick(
                (f"What is {low} + {high}?", f"{low} + {high} = {low + high}."),
                (f"What is {high} - {low}?", f"{high} - {low} = {high - low}.")))
        return chat(turns)

    def record(self):
        people = [{"name": name, "age": self.random.randint(5, 90), "pet": self.any(ANIMALS),
                   "city": self.any(sorted(CAPITAL_OF.values()))}
                  for name in self.random.sample(NAMES, self.random.randint(1, 5))]
        if self.random.random() < 0.4:
            return json.dumps(people, indent=2) + "\n"
        person, field = self.any(people), self.pick("age", "pet", "city")
        return chat([(f"{json.dumps(people)}\nWhat is the {field} of {person['name']}?",
                      f"The {field} of {person['name']} is {person[field]}.")])

    def snippets(self):
        return "\n".join(self.snippet() for _ in range(self.random.randint(1, 4)))

    def snippet(self):
        name = f"{self.pick('count', 'scale', 'limit', 'shift')}_{self.any(THINGS)}"
        a, b = self.random.sample(["x", "y", "n", "value", "items"], 2)
        sign, number = self.pick("+", "-", "*"), self.random.randint(1, 9)
        return self.pick(
            f"def {name}({a}, {b}):\n    return {a} {sign} {b}\n",
            f"def {name}({a}):\n    total = {number}\n    for item in {a}:\n"
            f"        total = total {sign} item\n    return total\n",
            f"def {name}({a}, {b}={number}):\n    if {a} < {b}:\n        return {a}\n"
            f"    return {b}\n")

    def repeat_list(self):
        """A list to copy: what teaches a small model to look back."""
        words = [self.pick(self.any(NAMES), self.thing(), self.any(PLACES),
                           str(self.random.randint(10, 9999)), self.any(sorted(CAPITAL_OF)))
                 for _ in range(self.random.randint(2, 9))]
        text = ", ".join(words)
        turns = [(f"Repeat: {text}", text)]
        i = self.random.randrange(len(words) - 1)
        if words.count(words[i]) == 1:
            turns.append((f"What comes after {words[i]}?",
                          f"{words[i + 1]} comes after {words[i]}."))
        return chat(turns)

    def greeting(self):
        name = self.any(NAMES)
        hello = self.pick(f"Hello, my name is {name}.", f"Hi, I am {name}.")
        return chat([(hello, f"Hello {name}, nice to meet you. How can I help you?"),
                     ("What is my name?", f"Your name is {name}.")])

    def document(self):
        kinds, shares = zip(*self.kinds)
        return self.random.choices(kinds, shares)[0]()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("out", help="text file to write")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    corpus, written = Corpus(args.seed), 0
    with open(args.out, "w", encoding="ascii") as out:
        while written < args.megabytes * 1e6:
            written += out.write(corpus.document() + END + "\n")


if __name__ == "__main__":
    main()
