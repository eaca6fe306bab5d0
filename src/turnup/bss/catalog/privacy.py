"""The catalog holds nothing about customers; who of staff published what."""

from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import Privacy

_VERSION = {
    DataClass.NONE: "code version valid_from valid_to document published_at",
    DataClass.STAFF: "author",
}

PRIVACY = Privacy(
    classes={
        "offering": {**_VERSION, DataClass.NONE: f"offering_id {_VERSION[DataClass.NONE]}"},
        "price": {DataClass.NONE: "price_id offering_id"},
        "policy": {**_VERSION, DataClass.NONE: f"kind {_VERSION[DataClass.NONE]}"},
    },
)
