"""Bits per character during training, and on parts of the test text."""

import altair as alt

from .style import BPC, Row, Style, as_spec, bits, color_of, dash_of, family_of, fill_of, shape_of

FEW, LEAST = 2_000, 100  # characters: fewer than FEW are marked, fewer than LEAST left out
AXES = {"chars": "characters of text seen", "flops": "FLOPs of training"}


def curves(
    runs: list[tuple[Row, list[dict]]], styles: dict[str, Style], width: int, height: int
) -> list[dict]:
    """A chart by text seen and one by compute; `runs` are rows with their validations."""
    values = [
        {"family": family_of(row), "tokenizer": row["tokenizer"], "bpc": line["val_bpc"]}
        | {key: line[key] for key in AXES}
        for row, lines in runs
        for line in lines
    ]
    found = []
    for key, title in AXES.items():
        x = alt.X(
            f"{key}:Q", title=title, axis=alt.Axis(format="~s"), scale=alt.Scale(zero=False, type="linear")
        )
        base = alt.Chart().encode(x=x, y=bits(title=f"validation, {BPC}"), color=color_of(styles))
        line = base.mark_line().encode(strokeDash=dash_of(styles))
        point = base.mark_point(size=35).encode(
            shape=shape_of(styles),
            fill=fill_of(styles, "true"),
            tooltip=[
                alt.Tooltip("tokenizer:N"),
                alt.Tooltip("chars:Q", title=AXES["chars"], format=",d"),
                alt.Tooltip("flops:Q", title=AXES["flops"], format=".4~g"),
                alt.Tooltip("bpc:Q", title=BPC, format=".4f"),
            ],
        )
        chart = alt.layer(line, point, data=alt.Data(values=values))
        found.append(as_spec(chart.properties(width=width, height=height)))
    return found


def parts_of_text(
    where: dict[str, dict], rows: list[Row], styles: dict[str, Style], width: int, height: int
) -> list[dict]:
    """A chart for each of the first three questions, with its answers from left to right."""
    shown = [row for row in rows if row["tokenizer"] in where]
    found = []
    for question, answers in list(where[shown[0]["tokenizer"]].items())[:3] if shown else []:
        values = [
            {"family": family_of(row), "tokenizer": row["tokenizer"], "answer": answer}
            | {"bpc": part["bpc"], "chars": part["chars"], "few": part["chars"] < FEW}
            for row in shown
            for answer, part in where[row["tokenizer"]][question].items()
            if part["chars"] >= LEAST
        ]
        axis = alt.Axis(labelAngle=-40, labelOverlap=False, ticks=False)
        x = alt.X("answer:N", title=None, sort=list(answers), axis=axis)
        base = alt.Chart().encode(x=x, y=alt.Y("bpc:Q", title=None), color=color_of(styles))
        line = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(strokeDash=dash_of(styles))
        point = base.mark_point().encode(
            shape=shape_of(styles),
            fill=fill_of(styles, "!datum.few"),
            tooltip=[
                alt.Tooltip("tokenizer:N"),
                alt.Tooltip("answer:N", title=question),
                alt.Tooltip("bpc:Q", title=BPC, format=".3f"),
                alt.Tooltip("chars:Q", title="characters", format=",d"),
            ],
        )
        chart = alt.layer(line, point, data=alt.Data(values=values))
        found.append(as_spec(chart.properties(width=width, height=height, title=question)))
    return found


def few_in_words(where: dict[str, dict], rows: list[Row]) -> str:
    """Sentences about parts with few characters, and parts left out because of that."""
    sizes: dict[tuple[str, str], int] = {}
    for row in rows:
        for question, answers in list(where.get(row["tokenizer"], {}).items())[:3]:
            for answer, part in answers.items():
                known = sizes.get((question, answer), part["chars"])
                sizes[question, answer] = min(known, part["chars"])
    marked = [f"{answer} ({question})" for (question, answer), chars in sizes.items() if LEAST <= chars < FEW]
    left_out = [f"{answer} ({question})" for (question, answer), chars in sizes.items() if chars < LEAST]
    said = ""
    if marked:
        said += f" Hollow points have fewer than {FEW:,} characters and are uncertain: {', '.join(marked)}."
    if left_out:
        said += f" Left out, with fewer than {LEAST} characters: {', '.join(left_out)}."
    return said
