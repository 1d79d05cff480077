"""What recognition makes of one message."""

from __future__ import annotations

from shared.diagnosis.classifier import Classifier
from shared.models import Diagnosis, EvidenceLine

HANDS_OFF = {"escalate", "none"}


def said(classifier: Classifier, system: str, text: str, code: str = "") -> Diagnosis:
    """The diagnosis of one line of evidence."""
    return classifier.classify([EvidenceLine(system, code, text)])
