"""The models that compare.sh measures, and the batch of a step over all ranks; see ../sizes.hpp."""

from dataclasses import dataclass

SEPARATOR = 0  # ends a document, where a size has documents


@dataclass(frozen=True)
class Gpt2Size:
    layers: int
    width: int
    heads: int
    vocabulary: int
    sequences: int  # of the global batch
    length: int
    documents = ()
    one_process = False

    @property
    def layer_weights(self):
        return 12 * self.width**2  # qkv 3, out 1, up 4, down 4


@dataclass(frozen=True)
class LlamaSize:
    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    sequences: int
    length: int
    documents: tuple  # lengths of those in a row
    one_process = True

    @property
    def layer_weights(self):
        kv_width = self.kv_heads * (self.width // self.heads)
        return self.width * (2 * self.width + 2 * kv_width + 3 * self.hidden)


SIZES = {
    "gpt2": Gpt2Size(12, 768, 12, 50304, 4, 256),
    "tiny": Gpt2Size(2, 128, 4, 512, 4, 32),
    "llama": LlamaSize(22, 512, 8, 2, 1408, 32000, 1, 1024, (301, 87, 420, 216)),
    "llama_tiny": LlamaSize(2, 128, 4, 2, 352, 512, 4, 32, (13, 5, 14)),
}
