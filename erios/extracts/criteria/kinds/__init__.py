"""The leaf criteria, one a file; this list is all that knows each of them, and its order is that of the form."""

from erios.extracts.criteria.kinds.age import Age
from erios.extracts.criteria.kinds.diagnosis import Diagnosis
from erios.extracts.criteria.kinds.laboratory import Laboratory
from erios.extracts.criteria.kinds.procedure import Procedure
from erios.extracts.criteria.kinds.sex import Sex
from erios.extracts.criteria.kinds.stay import Stay
from erios.extracts.criteria.kinds.treatment import Treatment
from erios.extracts.criteria.kinds.within import Within
from erios.extracts.criteria.model import Leaf

LEAVES: dict[str, type[Leaf]] = {
    leaf.NAME: leaf for leaf in (Age, Sex, Stay, Diagnosis, Laboratory, Treatment, Procedure, Within)
}
"""Every leaf criterion by its name in JSON."""

__all__ = ["LEAVES", "Age", "Diagnosis", "Laboratory", "Procedure", "Sex", "Stay", "Treatment", "Within"]
