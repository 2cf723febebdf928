"""Anyone's own features: a CSV or NPZ file per recording, and a mapping of columns.

See `mapping.Mapping` for what the mapping file holds.
"""

from __future__ import annotations

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import presets


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --tables and --mapping."""
    if "tables" in flag_values:
        return
    for name, text in (
        (
            "tables",
            "table: a folder of CSV or NPZ files, or a pattern such as 'a/*.csv'.",
        ),
        ("mapping", "table: JSON file that says what the columns are."),
    ):
        flags.DEFINE_string(
            name,
            None,
            text,
            flag_values=flag_values,
            module_name=avexp_flags.MODULE,
        )


def from_flags(flag_values: flags.FlagValues = flags.FLAGS):
    """Returns the corpus that --tables and --mapping describe.

    Raises:
      errors.ConfigError: if one of them is missing.
      errors.DataError: if the files can't be used.
    """
    from avexp_tf.corpora.table import corpus
    from avexp_tf.corpora.table import mapping

    for name in ("tables", "mapping"):
        if not flag_values[name].value:
            raise errors.ConfigError(f"--{name} must be given with --corpus=table")
    file = presets.found(flag_values.mapping)
    return corpus.TableCorpus(flag_values.tables, mapping.Mapping.load(file))
