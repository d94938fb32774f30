"""Find: datasets by name, safely."""

from integrate.catalog.catalog import Catalog as Catalog
from integrate.catalog.entry import Entry as Entry
from integrate.catalog.open import open_catalog as open_catalog
from integrate.catalog.open import shipped_catalogs as shipped_catalogs
from integrate.catalog.storage import Cache as Cache
