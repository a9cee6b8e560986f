"""Copy preferences.volume to loudness: `ringfence backfill preferences_loudness`."""

import sqlalchemy as sa

from ringfence.schema.backfills.declared import Backfill

# Runs as often as you like: rows that have a loudness are left alone.
backfill = Backfill(
    "preferences",
    set={"loudness": sa.column("volume")},
)
