"""Tokenizers of our own, built from the caption grammar: byte-level BPE for the CLIPs, unigram for T5.

Digits are always single tokens, so that every azimuth is spelled the same way; the words of the grammar and of the
targets are whole tokens; any other text still has a spelling in bytes (CLIP) or letters (T5).
"""

import itertools
import string
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

START, END, PAD, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<pad>", "<unk>"
WORD_END = "</w>"


def build_clip_tokenizer(
    captions: list[str], length: int, vocabulary: int, pad_with_first: bool
) -> PreTrainedTokenizerFast:
    """Byte-level BPE in CLIP's manner: lower case, end-of-word suffix, start and end tokens last in the vocabulary.

    Args:
        captions: texts whose words become whole tokens.
        length: tokens after padding.
        vocabulary: upper limit of entries.
        pad_with_first: pad with token 0, as CLIP-G does, instead of the end token, as CLIP-L does.
    """
    normalizer = normalizers.Sequence(  # pyright: ignore
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    splitter = pre_tokenizers.Sequence(  # pyright: ignore
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    counts = Counter(
        word for caption in captions for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    merges = learn_merges(counts, vocabulary - len(entries) - 2)
    entries += [first + second for first, second in merges] + [START, END]
    ids = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    model = models.BPE(vocab=ids, merges=merges, end_of_word_suffix=WORD_END, unk_token=END)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer  # pyright: ignore
    tokenizer.pre_tokenizer = splitter  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    tokenizer.add_special_tokens([START, END])
    tokenizer.post_processor = processors.RobertaProcessing((END, ids[END]), (START, ids[START]), False, False)  # pyright: ignore
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=alphabet[0] if pad_with_first else END,
        model_max_length=length,
    )


def learn_merges(counts: Counter[str], most: int) -> list[tuple[str, str]]:
    """Byte-pair merges of the most frequent neighbours, ties in alphabetical order.

    The library's trainer breaks ties in the order of a hash map, which differs from process to process; a resumed run
    must find the same vocabulary.
    """
    split = {word: [*word[:-1], word[-1] + WORD_END] for word in counts}
    merges: list[tuple[str, str]] = []
    while len(merges) < most:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts in split.values():
            place = 0
            while place < len(parts) - 1:
                if (parts[place], parts[place + 1]) == best:
                    parts[place : place + 2] = [best[0] + best[1]]
                place += 1
    return merges


def build_t5_tokenizer(captions: list[str], length: int, vocabulary: int) -> PreTrainedTokenizerFast:
    """Unigram pieces in T5's manner: pad 0, end 1, unknown 2, spaces as part of the pieces; digits stand alone.

    Words keep the separator before them (",Ku-band"), which keeps captions short. The pieces are the words of the
    captions, most frequent first, and every printable character, which costs more than any word.
    """
    splitter = pre_tokenizers.Sequence(  # pyright: ignore
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Split(
                Regex(r"\p{N}|[^\p{L}\p{N}]?\p{L}+(?:-\p{L}+)*|[^\p{L}\p{N}]"), behavior="removed", invert=True
            ),
        ]
    )
    counts = Counter(word for caption in captions for word, _ in splitter.pre_tokenize_str(caption))
    letters = [*string.printable.strip(), "\u2581"]
    words = sorted((word for word in counts if word not in letters), key=lambda word: (-counts[word], word))
    special = [(PAD, 0.0), ("</s>", 0.0), (UNKNOWN, 0.0)]
    pieces = [(word, -1.0) for word in words[: vocabulary - len(special) - len(letters)]]
    tokenizer = Tokenizer(models.Unigram([*special, *pieces, *((letter, -10.0) for letter in letters)], unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()  # pyright: ignore
    tokenizer.pre_tokenizer = splitter  # pyright: ignore
    tokenizer.decoder = decoders.Metaspace()  # pyright: ignore
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])  # pyright: ignore
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token=UNKNOWN, pad_token=PAD, model_max_length=length
    )


def save_tokenizers(folder: Path, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    """Write each tokenizer into its part folder (``tokenizer``, ``tokenizer_2``, ``tokenizer_3``)."""
    for part, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(folder / part)
