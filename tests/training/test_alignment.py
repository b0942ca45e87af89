"""Where the tokens of slow tokenizers stand: in PhoBERT's, BERTweet's, Japanese BERT's and BERT's layout."""

import unicodedata

import numpy as np
import pytest
import transformers

from foundation.cli import UserError
from training.pretraining.packing import Packing, pack, word_starts
from training.pretraining.source import TextFile
from training.qa.windows import Windower, token_span
from training.runs.alignment import align, tokens_of

VIETNAMESE = "Tôi là sinh_viên trường đại_học Công_nghệ , Hà_Nội .  Mất hai giờ !"
JAPANESE = "ﾃｽﾄは 東京で、①番 ㍿ 「ガラス」を\u3000見た。 ｶﾞﾗｽ"


@pytest.fixture(scope="module", params=["phobert", "bertweet"])
def bpe(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    letters = sorted(set(VIETNAMESE) - {" ", "!"})
    words = [f"{letter}@@" for letter in letters] + letters + ["inh@@", "si@@", "viên"]
    (folder / "vocab.txt").write_text("".join(f"{word} 1\n" for word in words), encoding="utf-8")
    merges = ["s i", "n h", "i nh", "v i", "vi ê", "viê n</w>"]
    (folder / "bpe.codes").write_text("".join(f"{merge} 9\n" for merge in merges), encoding="utf-8")
    kind = transformers.PhobertTokenizer if request.param == "phobert" else transformers.BertweetTokenizer
    return kind(str(folder / "vocab.txt"), str(folder / "bpe.codes"))


def test_bpe_tokens_spell_their_characters(bpe):
    ((ids, offsets),) = tokens_of(bpe, [VIETNAMESE])
    assert ids == bpe(VIETNAMESE, add_special_tokens=False)["input_ids"]
    pieces = [VIETNAMESE[start:end] for start, end in offsets]
    assert pieces == [token.removesuffix("@@") for token in bpe.tokenize(VIETNAMESE)]
    assert "viên" in pieces and pieces[-1] == "!" and bpe.unk_token_id in ids
    assert word_starts(VIETNAMESE, offsets).sum() == len(VIETNAMESE.split())


def test_windows_hold_the_special_tokens_of_a_pair(bpe):
    windower = Windower(bpe, 64, 4)
    document = windower.document(VIETNAMESE)
    (window,) = windower.windows("sinh ?", document)
    assert window.input_ids.tolist() == bpe("sinh ?", VIETNAMESE)["input_ids"]
    at = VIETNAMESE.index("đại_học")
    first, last = token_span(document, at, at + 7)
    assert (document.offsets[first, 0], document.offsets[last, 1]) == (at, at + 7)


def test_bytes_and_words_of_a_text_to_pre_train_on(bpe, tmp_path):
    (tmp_path / "text.txt").write_text(f"{VIETNAMESE}\n" * 20, encoding="utf-8")
    packed = pack(
        TextFile(str(tmp_path / "text.txt")),
        bpe,
        16,
        tmp_path / "pack",
        packing=Packing(count_bytes=True, whole_words=True),
    )
    total = sum(int(packed[i]["n_bytes"].sum()) for i in range(len(packed)))
    whole = len(f"{VIETNAMESE}\n".encode()) * 20
    assert whole - 60 < total <= whole


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A vocabulary of single characters with ##, some words, and no "見"; accents and case are folded."""
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    letters = sorted(set(unicodedata.normalize("NFKC", JAPANESE)) | set("abcdefghijklmnopqrstuvwxyz-") - {" "})
    known = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "wor",
        "##d",
    ]
    known.remove("見")
    path.write_text("\n".join(known), encoding="utf-8")
    return path


@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_japanese_tokens_of_folded_characters(bert, subwords):
    tok = transformers.BertJapaneseTokenizer(
        str(bert), word_tokenizer_type="basic", subword_tokenizer_type=subwords, do_lower_case=True
    )
    text = f"{JAPANESE} Élan wörd"
    ((ids, offsets),) = tokens_of(tok, [text])
    assert len(ids) == len(offsets) and ids == tok(text, add_special_tokens=False)["input_ids"]
    starts = [start for start, _ in offsets]
    assert starts == sorted(starts)
    # Every character but white space belongs to a token.
    covered = set().union(*(range(start, end) for start, end in offsets))
    assert {i for i, c in enumerate(text) if not c.isspace() and not unicodedata.combining(c)} <= covered
    for token, (start, end) in zip(tok.tokenize(text), offsets, strict=True):
        if token != "[UNK]":
            folded = unicodedata.normalize("NFKD", text[start:end].casefold())
            bare = unicodedata.normalize("NFKD", token.removeprefix("##").casefold())
            assert bare[0] in folded or folded[0] in bare


def test_the_offsets_are_those_of_the_fast_tokenizer(bert):
    fast = _fast(bert)
    text = "A word, wor-d and É elan## ##d \u200b\u0007x"
    encoded = fast(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens = fast.convert_ids_to_tokens(encoded["input_ids"])
    assert align(text, tokens, fast) == encoded["offset_mapping"]


def _fast(vocabulary):
    from tokenizers import BertWordPieceTokenizer

    inner = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, unk_token="[UNK]")


def test_unknown_tokens_share_what_lies_between_their_neighbours():
    class Tokenizer:
        unk_token = "<unk>"

    assert align("a ?? ! b", ["a", "<unk>", "<unk>", "b"], Tokenizer()) == [(0, 1), (2, 4), (5, 6), (7, 8)]
    assert align("a ??? b", ["a", "<unk>", "<unk>", "b"], Tokenizer()) == [(0, 1), (2, 5), (2, 5), (6, 7)]
    assert align("a b ?", ["a", "b", "<unk>"], Tokenizer()) == [(0, 1), (2, 3), (4, 5)]
    assert align("##a ## @@b", ["##a", "##", "@@b"], Tokenizer()) == [(0, 3), (4, 6), (7, 10)]
    with pytest.raises(UserError, match=r"Tokenizer has the token 'HTTPURL' where the text goes on with 'http://x.org"):
        align("see http://x.org/", ["see", "HTTPURL"], Tokenizer())


def test_a_long_text_is_aligned_in_time_that_grows_with_it(bpe):
    text = f"{VIETNAMESE} " * 300
    ((ids, offsets),) = tokens_of(bpe, [text])
    ends = np.array(offsets)
    assert (np.diff(ends[:, 0]) >= 0).all() and len(ids) == 300 * len(bpe.tokenize(VIETNAMESE))
