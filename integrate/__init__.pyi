from . import datasets as datasets
from . import errors as errors
from .analyse.associate import associate as associate
from .catalog.check import check_catalog as check_catalog
from .catalog.open import Catalog as Catalog
from .catalog.open import open_catalog as open_catalog
from .catalog.open import shipped_catalogs as shipped_catalogs
from .datasets.simulate import simulate_study as simulate_study
from .features.measure import measure as measure
from .join.cohort import Cohort as Cohort
from .join.link import link as link
from .model.assemble import open_study as open_study
from .model.study import Study as Study
from .prepare.segment import NucleusWatershed as NucleusWatershed
from .prepare.segment import expand_labels as expand_labels
from .prepare.segment import segment_nuclei as segment_nuclei
from .report.run import run_report as run_report
from .view.figures import plot_association as plot_association
from .view.figures import plot_availability as plot_availability
from .view.figures import plot_cells as plot_cells

__version__: str
