"""The shipped adapter behind the pipeline's one call: real answers, their places and their sentences."""

import pytest

from space.gallery import examples
from space.reader import ADAPTER, Reader
from training.qa import pipeline
from training.qa.windows import Windower

# script: question, document with a bar after the sentence that answers, right answer
SCRIPTS = {
    "Latin": ("Where do I live?", "My name is Wolfgang and I live in Berlin.| I was born in Rome.", "Berlin"),
    "Cyrillic": ("Где родился Пушкин?", "А. С. Пушкин родился в Москве.| Он умер в Петербурге.", "Москве"),
    "Greek": ("Πού γεννήθηκε ο Ελύτης;", "Ο Ελύτης γεννήθηκε στο Ηράκλειο.| Πέθανε στην Αθήνα.", "Ηράκλειο"),
    "Arabic": ("أين ولد نجيب محفوظ؟", "ولد نجيب محفوظ في القاهرة.| توفي عام 2006.", "القاهرة"),
    "Hebrew": ("איפה נולד עמוס עוז?", "עמוס עוז נולד בירושלים.| הוא מת בשנת 2018.", "בירושלים"),
    "Devanagari": ("कबीर का जन्म कहाँ हुआ?", "कबीर का जन्म वाराणसी में हुआ।| उनकी मृत्यु मगहर में हुई।", "वाराणसी"),
    "Bengali": ("রবীন্দ্রনাথ কোথায় জন্মগ্রহণ করেন?", "রবীন্দ্রনাথ ঠাকুর কলকাতায় জন্মগ্রহণ করেন।| তিনি ১৯৪১ সালে মারা যান।", "কলকাতায়"),
    "Tamil": ("பாரதியார் எங்கே பிறந்தார்?", "பாரதியார் எட்டயபுரத்தில் பிறந்தார்.| அவர் 1921 இல் இறந்தார்.", "எட்டயபுரத்தில்"),
    "Thai": (
        "เมืองหลวงของประเทศไทยคือเมืองอะไร",
        "เมืองหลวงของประเทศไทยคือกรุงเทพมหานคร| ประเทศไทยมีประชากร 66 ล้านคน",
        "กรุงเทพมหานคร",
    ),
    "Han": ("李白出生在哪里？", "李白出生在碎叶城。|他死于公元762年。", "碎叶城"),
    "Kana": (
        "夏目漱石はどこで生まれましたか。",
        "夏目漱石は東京で生まれました。|彼は１９１６年に亡くなりました。",
        "東京",
    ),
    "Hangul": (
        "세종대왕은 어디에서 태어났습니까?",
        "세종대왕은 한양에서 태어났습니다.| 그는 1450년에 죽었습니다.",
        "한양에서",
    ),
    "Georgian": ("სად დაიბადა რუსთაველი?", "რუსთაველი დაიბადა რუსთავში.| იგი გარდაიცვალა იერუსალიმში.", "რუსთავში"),
    "Armenian": ("Որտե՞ղ է ծնվել Թումանյանը:", "Թումանյանը ծնվել է Դսեղում։| Նա մահացել է Մոսկվայում։", "Դսեղում"),
}


@pytest.fixture(scope="module")
def qa():
    if not (ADAPTER / "adapter_model.safetensors").is_file():
        pytest.skip("space/adapter is not there yet: train it with training/finetune.py")
    return pipeline(ADAPTER, device="cpu", sentence=True, places=True)


def test_answers_in_fourteen_scripts_stand_where_they_say(qa):
    cases = list(SCRIPTS.values())
    contexts = [marked.replace("|", "") for _, marked, _ in cases]
    answers = qa(question=[question for question, _, _ in cases], context=contexts, batch_size=7)
    right = []
    for (question, marked, text), context, answer in zip(cases, contexts, answers, strict=True):
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        sentence = answer["sentence"]
        assert context[sentence["start"] : sentence["end"]] == sentence["text"]
        places = [(place["start"], place["end"]) for place in answer["places"]]
        assert (answer["start"], answer["end"]) in places
        assert {context[start:end] for start, end in places} == {answer["answer"]}
        if (answer["answer"], sentence["text"]) == (text, marked.split("|")[0]):
            right.append(question)
    assert len(right) >= 12, right


def test_a_long_document_is_read_whole_and_as_the_page_reads_it(qa):
    text, question = examples()["Svenska, long"].text, "När antogs förklaringen?"
    reader = Reader(qa.model, Windower(qa.tokenizer, 4_096), "shipped")
    reading = reader.read(text, question)
    answer = qa(question, text, max_answer_len=30)
    assert len(reading.windows) < 4
    assert answer["start"] <= reading.answers[0].start < reading.answers[0].end <= answer["end"]
    assert "10 december 1948" in answer["answer"]
