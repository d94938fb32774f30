"""Studies one can load: the toy study, the simulated study with its planted truth."""

from integrate.datasets.simulate import simulate_study as simulate_study
from integrate.datasets.toy import toy_catalog as toy_catalog
from integrate.datasets.toy import toy_study as toy_study
from integrate.datasets.toy import toy_survival as toy_survival
