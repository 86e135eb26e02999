"""What each feature of a sentence is worth (`FEATURES` names them), in logits: differences are what counts.

Fitted by `python -m bench answers --only extractive --fit`: the sentences of the 20 best paragraphs of each answerable
question of SQuAD 2.0 dev, of half of the articles (split 0 of the bench), asked in their own article; a softmax over
them is to choose one that holds an answer in the paragraph that the question was asked about. The figures in
docs/benchmarks.md are of the other half. SQuAD is CC BY-SA 4.0 (Rajpurkar et al., 2018); nothing of its texts is here.
"""

from typing import Final

import numpy as np

__all__ = ["WEIGHTS"]

_WORTH: Final = {"share": 6.77, "around": 1.6, "pairs": 2.9, "kind": 2.55, "new name": 1.24, "gap": -0.97}
WEIGHTS: Final = np.array(list(_WORTH.values()), np.float64)
"""In the order of `FEATURES`."""
