"""What a document's own words mean, as contracts and laws in many languages write it."""

import time

import pytest

from space.definitions import defined

CASES = [
    (
        '"Expert" means the person appointed by the Chamber. Disputes are settled by the Expert.',
        "the Expert.",
        "the person",
    ),
    (
        "Hall & Co. (hereinafter the “Surveyor”) begins in May. Fuel is paid by the Surveyor.",
        "the Surveyor.",
        "Hall & Co.",
    ),
    ("“Sakkunnig” avser den som kammaren utser. Tvisten avgörs av Sakkunnigen.", "av Sakkunnigen", "kammaren utser"),
    ("„Lieferant“ bezeichnet die Müller GmbH. Den Transport zahlt der Lieferant.", "der Lieferant", "Müller GmbH"),
    ("La société Dupont (ci-après « le Vendeur »). Les risques passent au Vendeur.", "au Vendeur", "Dupont"),
    ("«Comprador» significa Acme S.A. de Lima. El precio lo paga el Comprador.", "el Comprador", "Acme"),
    ("«Эксперт» означает лицо, назначенное судом. Спор решает Эксперт.", "Эксперт.", "назначенное судом"),
    ("“专家”是指由商会指定的人。争议由专家解决。", "专家解决", "商会指定"),
    ("甲公司（以下简称“买方”）。价款由买方支付。", "买方支付", "甲公司"),
    ('"الخبير" يعني الشخص الذي تعينه المحكمة. يفصل في النزاع الخبير.', "النزاع الخبير", "تعينه المحكمة"),
    ("1. Definitions\nWorks: everything in Annex 2.\n\nThe price covers the Works alone.", "the Works", "Annex 2"),
]


@pytest.mark.parametrize(("text", "answer", "said"), CASES, ids=[answer for _, answer, _ in CASES])
def test_the_definition_of_an_answers_term_is_found(text, answer, said):
    start = text.rindex(answer)
    (found,) = defined(text, start, start + len(answer))
    assert said in text[found.start : found.end]
    assert answer not in text[found.start : found.end]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # The answer stands in the definition itself.
        ('"Expert" means a hydrographer whom the Chamber appoints.', "a hydrographer"),
        ('"Port" means a harbour. The ship came from Portugal.', "Portugal"),  # the word is only a part of another one
        ('He said "stop" and left. They stop here.', "stop here"),  # quoted, not defined
        ("Time: nine. Place: the hall. The Place was cold.", "The Place"),  # no list of definitions
    ],
)
def test_what_is_no_definition_is_none(text, answer):
    start = text.rindex(answer)
    assert defined(text, start, start + len(answer)) == ()


@pytest.mark.parametrize("piece", ['"a', "(", "“", "\n", "Definitions\n", '"ab ', '(" ', "a: a\n", "(the “", "»"])
def test_a_document_made_to_be_slow_is_not(piece):
    text = "Definitions\n" + piece * (1_000_000 // len(piece))
    started = time.process_time()
    defined(text, 20, 60)
    assert time.process_time() - started < 20  # seconds; quadratic time would take hours
