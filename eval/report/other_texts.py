"""The section of the report about further test texts, and the same in sentences."""

from comparison.config import TEST

from ..recommend import parts_of_answer
from ..results import partial_sentences
from ..texts import ranks
from . import tables
from .figures import main_rows
from .markdown import code, plain, table

PAIRS = 5  # of tokenizers that change places are named
ABOUT = (
    "Every run is also scored on these texts, without training it again, by the same protocol as on the test "
    "text. The table has bits per character of {model} and the rank among the tokenizers. Bold: may be the "
    "best on that text. Kendall's tau is 1 if two texts rank tokenizers in the same order, and -1 if in the "
    "opposite one. Two tokenizers are said to change places only if the intervals of both texts, which hold "
    "for all pairs at once, show that they differ, in opposite directions."
)


def text_sentences(results: dict) -> list[str]:
    """For each further text, the tokenizers that may be the best on it, and those that change places."""
    model = main_rows(results["rows"])[0]["model"]
    found = []
    for name, of in results["texts"].items():
        if "missing" in of:
            found.append(f"On {name}: {of['missing']}.")
            continue
        said = partial_sentences(of["partial"])[:1]
        entries = [entry for entry in of["recommendation"]["models"] if entry["model"] == model]
        for entry in entries:
            # What one seed lacks is said of the test text
            said += parts_of_answer(entry)[0][-1:] if entry["seeds"] == 1 else parts_of_answer(entry)[0]
        found.append(f"On {name}: {' '.join(said)}")
        found[-1] += "".join(f" {line}" for line in _changes(of, model, name))
    return found


def _changes(of: dict, model: str, name: str) -> list[str]:
    """The change of the ranking from the test text to another one, in sentences."""
    for ranking in of["ranking"]:
        if ranking["model"] != model or ranking["tokenizers"] < 2:
            continue
        tau = ranking["kendall_tau"]
        few = tau is None or ranking["tokenizers"] == 2
        said = [] if few else [f"Kendall's tau with the ranking on the test text is {tau:.2f}."]
        if not ranking["tested"]:
            return [*said, "Whether tokenizers change places is not tested."]
        pairs = [f"{better} is better than {worse}" for better, worse in ranking["reversed"]]
        if not pairs:
            return [*said, "No two tokenizers are shown to change places."]
        more = f", and {len(pairs) - PAIRS:,} more pairs change places" if len(pairs) > PAIRS else ""
        return [*said, f"Unlike on the test text, {', '.join(pairs[:PAIRS])}{more}."]
    return []


def summary_sentence(results: dict) -> str:
    """A sentence about all further texts; empty if there are none, or nothing was tested."""
    model = main_rows(results["rows"])[0]["model"]
    tested = {
        name: ranking["reversed"]
        for name, of in results["texts"].items()
        for ranking in of.get("ranking", [])
        if ranking["model"] == model and ranking["tested"] and ranking["tokenizers"] > 1
    }
    if not tested:
        return ""
    changed = [name for name, pairs in tested.items() if pairs]
    if changed:
        return f"On {', '.join(changed)}, tokenizers are shown to change places: see On other texts."
    return f"No two tokenizers are shown to change places on other texts ({', '.join(tested)})."


def texts_section(results: dict) -> str:
    """The section in Markdown: a table of all texts, and the results on each."""
    if not results["texts"]:
        return ""
    main = main_rows(results["rows"])
    parts = ["## On other texts", ABOUT.format(model=main[0]["model"]), _overview(results, main)]
    for (name, of), said in zip(results["texts"].items(), text_sentences(results), strict=True):
        parts += [f"### {plain(name)}", plain(said)]
        if "missing" in of:
            continue
        corpus = of["corpus"]
        parts.append(
            f"Source {code(of['source'])}: {corpus['test_chars']:,} characters of "
            f"{corpus['test_documents']:,} documents (SHA-256 `{corpus['test_sha256'][:16]}…`)."
        )
        parts += [plain(line) for line in partial_sentences(of["partial"])[1:]]
        parts.append(tables.as_markdown(of["rows"], tables.text_columns(of["rows"])))
        if of["lossy_rows"]:
            parts += [
                "Not ranked, because these tokenizers lose text of it:",
                tables.as_markdown(of["lossy_rows"], tables.LOSSY),
            ]
    return "\n\n".join(parts) + "\n"


def _overview(results: dict, main: list[dict]) -> str:
    """A row for each tokenizer and a column for each text: bits per character and rank."""
    model = main[0]["model"]
    columns, lossy = {TEST: main}, {TEST: results["lossy_rows"]}
    for name, of in results["texts"].items():
        columns[name] = [row for row in of.get("rows", []) if row["model"] == model]
        lossy[name] = of.get("lossy_rows", [])
    ranked = {text: ranks(rows) if rows else {} for text, rows in columns.items()}
    by_label = {text: {row["tokenizer"]: row for row in rows} for text, rows in columns.items()}
    labels = dict.fromkeys(row["tokenizer"] for rows in columns.values() for row in rows)

    def cell(text: str, label: str) -> str:
        if label not in by_label[text]:
            return "loses text" if any(row["tokenizer"] == label for row in lossy[text]) else "–"
        row, rank = by_label[text][label], ranked[text].get(label)
        bold = tables.BOLD * row["may_be_best"]
        return f"{bold}{row['test_bpc']:.3f}{bold} ({'–' if rank is None else rank})"

    heading = ["tokenizer", *map(plain, columns)]
    return table(heading, [[code(label), *(cell(text, label) for text in columns)] for label in labels])
