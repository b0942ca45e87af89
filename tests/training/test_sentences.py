"""Words and sentences around a span, in many scripts."""

import pytest

from training.qa.sentences import sentence_around, stands_alone, whole_words

# | stands between sentences.
TEXTS = {
    "en": 'Dr. Smith met J. R. Ewing in St. Louis. |He paid $3.50! |"Really?" |she asked.',
    "de": "Am 3. Mai 1990 kam z. B. der Zug. |Er fuhr bald ab.",
    "ru": "А. С. Пушкин родился в Москве. |Он был поэтом?",
    "el": "Πού ζεις; |Ζω στην Αθήνα.",
    "ar": "أين تقع البتراء؟ |تقع في الأردن.",
    "ur": "وہ لاہور میں ہے۔ |وہ شاعر ہے۔",
    "he": "היא גרה בחיפה. |הוא גר בעכו.",
    "hi": "वह दिल्ली में है। |वह कवि है।",
    "bn": "সে ঢাকায় থাকে। |সে কবি।",
    "hy": "Նա ապրում է Երևանում։ |Նա բանաստեղծ է։",
    "zh": "他住在北京。|他说：“好！”|然后走了。",
    "ja": "彼は東京に住む。|「本当？」|と聞いた。",
    "ko": "그는 서울에 산다. |그는 시인이다.",
    "th": "เขาอยู่กรุงเทพ |เขาเป็นกวี",
    "ka": "იგი ცხოვრობს თბილისში. |იგი პოეტია.",
    "am": "እሱ አዲስ አበባ ይኖራል። |ገጣሚ ነው።",
    "heading": "Life\n|He was born in Paris. |He wrote\nmany books\n\n|Death",
    "wrapped": "He was born on the left bank of the river that runs through\nParis and died there.",
    "ellipsis": "He waited ... and left. |Nobody came… |Then it rained.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_sentences_of_many_scripts(language):
    marked = TEXTS[language]
    text, start = marked.replace("|", ""), 0
    for part in marked.split("|"):
        end = start + len(part)
        bare = part.strip()
        for at in range(start, start + len(bare)):
            assert sentence_around(text, at, at + 1) == (start, start + len(bare)), (text[at:], bare)
        start = end


def test_an_answer_over_two_sentences_has_both():
    text = "One is here. Two is there. Three is away."
    assert sentence_around(text, 4, 20) == (0, 26)


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("in Wolfgangs Haus", "olfgang", "Wolfgangs"),
        ("the year 1984.", "98", "1984"),
        ("в Москве.", "оскв", "Москве"),
        ("वह दिल्ली में", "दिल", "दिल्ली"),
        ("في البتراء.", "بتر", "البتراء"),
        ("서울에서 왔다", "서울", "서울에서"),
        ("Ha\u0300 No\u0323\u0302i", "Ha", "Ha\u0300"),
        ("他住在北京。", "北", "北"),
        ("彼は東京に", "東京", "東京"),
        ("กรุงเทพ", "กร", "กรุ"),
        ("die iPhone手机", "Phone", "iPhone"),
        ("a (Paris), b", "Paris", "Paris"),
    ],
)
def test_words_are_completed_in_scripts_that_have_them(text, part, whole):
    start = text.index(part)
    first, last = whole_words(text, start, start + len(part))
    assert text[first:last] == whole
    assert stands_alone(text, first, last) and (part == whole) == stands_alone(text, start, start + len(part))
