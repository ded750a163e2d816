"""The pronunciation-assessment endpoint: a recording and its text in, scores in Azure's form out, on any CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zeroidle import endpoint

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules both speech services share

if TYPE_CHECKING:
    from zeroidle.recipes.speech.assess_endpoint import Assessing
else:
    from speech.assess_endpoint import Assessing


@endpoint
class PronunciationAssessment(Assessing):
    __doc__ = Assessing.__doc__
    __call__ = Assessing.assess
