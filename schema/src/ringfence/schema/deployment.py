"""Loads and validates a deployment: `ringfence.toml`, the models and the manifest."""

import importlib
import re
import sys
import threading
import tomllib
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Annotated, Any, Literal

import pydantic
import sqlalchemy as sa

from ringfence.schema.documents import Document, suggestion
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.manifest.model import Account, Policy
from ringfence.schema.manifest.resolution import resolve
from ringfence.schema.models import NAMING
from ringfence.schema.models.adaptation import VERSION_TABLE, give_names, leave_out, map_types, restore
from ringfence.schema.models.conditional import remove_empty_indexes
from ringfence.schema.models.object_rules import ObjectRule
from ringfence.schema.models.remove_duplicates import remove_duplicates
from ringfence.schema.models.source_lines import SourceLines, display_path
from ringfence.schema.models.types import DIALECTS, ENGINES
from ringfence.schema.portability import check_grants, check_models
from ringfence.schema.sql import mysql_options

FILE = "ringfence.toml"
_Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
_Some = pydantic.Field(min_length=1)
_IMPORTING = threading.RLock()
"""Held while models are imported; re-entrant, because models may load a deployment themselves."""


class DeploymentFile(pydantic.BaseModel):
    """The content of `ringfence.toml`, key by key."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    name: _Name
    engines: Annotated[list[str], _Some]
    models: list[Annotated[str, pydantic.Field(pattern=r"^[\w.]+:[\w.]+$")]] = []
    access: str = "access.yaml"
    migrations: str = "migrations"
    mirrors: str = "mirrors"
    allow_weak: list[_Name] = []
    drop: list[str] = []
    leave: list[str] = []
    leave_out: list[str] = []
    types: dict[str, str] = {}
    naming: dict[Literal["ix", "uq", "ck", "fk", "pk"], str] | Literal["ringfence"] = {}
    """The naming convention, kind -> pattern; the word `ringfence` means `ringfence.schema.models.NAMING`."""

    @pydantic.field_validator("drop", "leave")
    @classmethod
    def _objects(cls, entries: list[str], info: pydantic.ValidationInfo) -> list[str]:
        for text in entries:
            ObjectRule.read(text, patterns=info.field_name == "leave")
        return entries

    @pydantic.field_validator("engines")
    @classmethod
    def _engines(cls, engines: list[str]) -> list[str]:
        for engine in engines:
            if engine not in ENGINES:
                raise ValueError(f"{engine!r} is not an engine{suggestion(engine, ENGINES)}")
            if engines.count(engine) > 1:
                raise ValueError(f"{engine!r} is duplicated")
        return engines


@dataclass(frozen=True)
class Deployment:
    """A deployment whose files were validated against each other.

    `tables` is keyed by `table` or `schema.table`, in the order of the metadata; `accounts` is keyed by the service's
    name, in the order of the manifest.
    """

    root: Path
    name: str
    engines: tuple[str, ...]
    migrations: Path
    mirrors: Path
    metadata: tuple[sa.MetaData, ...]
    tables: Mapping[str, sa.Table]
    accounts: Mapping[str, Account]
    policy: Policy = field(default_factory=Policy)
    models: tuple[str, ...] = ()
    """The `module:attribute` entries of ringfence.toml, which the metadata was imported from."""
    allow_weak: tuple[str, ...] = ()
    """The environments (values of RINGFENCE_ENV) in which `--allow-weak` accepts weak passwords."""
    drop: tuple[str, ...] = ()
    """Database objects that no migration created, and that ringfence.toml allows a revision to drop."""
    leave: tuple[str, ...] = ()
    """Patterns of database objects that others manage: they are neither changed nor listed."""
    notes: tuple[Mistake, ...] = ()
    """Remarks that are no errors, with file and line: what is left out, what services see in another form."""

    @classmethod
    def load(cls, root: Path | str = ".", *, empty: bool = False) -> "Deployment":
        """Read and validate the deployment that a folder belongs to.

        Args:
            root: the folder that holds `ringfence.toml`, or one below it.
            empty: whether the models may hold no table yet; the manifest is not read then.

        Raises:
            BadDeployment: the files are invalid; it holds every mistake found, with its file and line where known.
        """
        folder = find_root(Path(root))
        source, given = _read_file(folder)
        metadata, mistakes = _import_models(folder, source, given)
        if mysql_options.HOLDS_ON in {DIALECTS[engine] for engine in given.engines}:
            for each in metadata:
                mysql_options.extend_metadata(each)
        notes = _adapt(folder, metadata, source, given, mistakes)
        tables = _tables(metadata, source, mistakes, empty=empty)
        source_lines = SourceLines(folder)
        mistakes += map_types(tables, given.types, source.mistake)
        notes += remove_empty_indexes(tables.values(), source_lines)
        mistakes += check_models(tables, given.engines, source_lines)
        accounts: tuple[Account, ...] = ()
        policy = Policy()
        if not empty:
            document = _manifest(folder, given.access, source)
            if document is not None and not _broken(mistakes):
                accounts, policy = resolve(document, tables, given.engines)
            mistakes += (
                document.mistakes if document is not None else [source.missing("access", given.access)]
            )
        if not mistakes:
            refused, seen = check_grants(tables, accounts, given.engines, source_lines)
            mistakes += refused
            notes += seen
        if mistakes:
            raise BadDeployment(mistakes)
        return cls(
            root=folder,
            name=given.name,
            engines=tuple(given.engines),
            migrations=folder / given.migrations,
            mirrors=folder / given.mirrors,
            metadata=metadata,
            tables=MappingProxyType(tables),
            accounts=MappingProxyType({account.service: account for account in accounts}),
            policy=policy,
            models=tuple(given.models),
            allow_weak=tuple(given.allow_weak),
            drop=tuple(given.drop),
            leave=tuple(given.leave),
            notes=tuple(notes),
        )

    def display_path(self, path: Path) -> str:
        """Write a path for messages: relative to the deployment's folder where it is inside it."""
        return display_path(path, self.root)


def find_root(start: Path) -> Path:
    """Find the nearest folder at or above `start` that contains a `ringfence.toml`.

    Args:
        start: where the search begins; relative to the working directory.

    Raises:
        BadDeployment: there is no such folder.
    """
    begin = start.resolve()
    for folder in (begin, *begin.parents):
        if (folder / FILE).is_file():
            return folder
    raise BadDeployment(
        [
            Mistake(
                FILE,
                None,
                f"is neither in {begin} nor above it; `ringfence init NAME` lays out a new deployment",
            )
        ]
    )


class _Source:
    """The text of `ringfence.toml`, for finding the line of a key."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def line(self, *words: str) -> int | None:
        """Find the line of a key or value by words that lead to it.

        Args:
            words: each is searched from the line of the previous one on.

        Returns:
            The line of the last word that was found, from 1; None where no word was found.
        """
        found = None
        for word in words:
            pattern = re.compile(rf"^[^#]*(?<![\w.-]){re.escape(word)}(?![\w-])")
            start = (found or 1) - 1
            found = next(
                (n for n, line in enumerate(self.lines[start:], start + 1) if pattern.search(line)), found
            )
        return found

    def mistake(self, message: str, *words: str) -> Mistake:
        """Make a mistake at the line that `words` lead to; see `line`."""
        return Mistake(FILE, self.line(*words), message)

    def missing(self, key: str, file: str) -> Mistake:
        """Make the mistake that the file which a key names does not exist."""
        return self.mistake(f"{key}: there is no file {file!r}", key)


def _read_file(folder: Path) -> tuple[_Source, DeploymentFile]:
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadDeployment([Mistake(FILE, None, f"cannot be read: {error}")]) from error
    except tomllib.TOMLDecodeError as error:
        location = re.search(r"at line (\d+)", str(error))
        raise BadDeployment(
            [Mistake(FILE, int(location[1]) if location else None, f"is not TOML: {error}")]
        ) from error
    source = _Source(text)
    try:
        return source, DeploymentFile.model_validate(document)
    except pydantic.ValidationError as error:
        raise BadDeployment([_toml_mistake(source, dict(problem)) for problem in error.errors()]) from error


def _toml_mistake(source: _Source, problem: Mapping[str, Any]) -> Mistake:
    location = [str(part) for part in problem["loc"]]
    key = location[0] if location else ""
    if problem["type"] == "extra_forbidden":
        return source.mistake(f"there is no key {key!r}{suggestion(key, DeploymentFile.model_fields)}", key)
    if problem["type"] == "missing":
        return Mistake(FILE, None, f"lacks {key!r}")
    if problem["type"] == "string_pattern_mismatch" and key == "models":
        example = f"{str(problem['input']).partition(':')[0] or 'models'}:metadata"
        message = f"models: {problem['input']!r} is not MODULE:NAME of a MetaData, such as {example!r}"
        return source.mistake(message, key, str(problem["input"]))
    message = problem["msg"].removeprefix("Value error, ")
    return source.mistake(f"{'.'.join(location)}: {message}", key)


def _import_models(
    folder: Path, source: _Source, given: DeploymentFile
) -> tuple[tuple[sa.MetaData, ...], list[Mistake]]:
    """Import each `module:attribute` of `models`."""
    found: list[sa.MetaData] = []
    mistakes = []
    for name in given.models:
        module, _, attribute = name.partition(":")
        try:
            with _imports_from(folder, module.partition(".")[0]):
                value: Any = importlib.import_module(module)
                for part in attribute.split("."):
                    value = getattr(value, part)
        except Exception as error:  # noqa: BLE001 - the deployment's own code runs here, and may raise anything
            problem = f"models: {name!r} cannot be imported: {_import_problem(error, folder)}"
            mistakes.append(source.mistake(problem, "models", name))
            continue
        metadata = value if isinstance(value, sa.MetaData) else getattr(value, "metadata", None)
        if isinstance(metadata, sa.MetaData):
            # Several entries may lead to one MetaData.
            if not any(metadata is known for known in found):
                found.append(metadata)
        else:
            mistakes.append(
                source.mistake(f"models: {name!r} is {type(value).__name__}, no MetaData", "models", name)
            )
    return tuple(found), mistakes


@contextmanager
def _imports_from(folder: Path, package: str) -> Iterator[None]:
    """Let a package of the deployment be imported, and undo what that changes in the process where it fails.

    The folder stays first in `sys.path`, because models and revisions may import more of it later. A package of the
    same name that was imported from another deployment is unloaded: Python has one module for each name. Another thread
    that loads a deployment waits, since both `sys.path` and `sys.modules` are shared by the whole process.
    """
    with _IMPORTING:
        path = list(sys.path)
        sys.path[:] = [str(folder), *(entry for entry in path if entry != str(folder))]
        unloaded = _unload_namesake(folder, package)
        try:
            yield
        except BaseException:
            for name in [name for name in sys.modules if _is_of(package, name)] if unloaded else ():
                del sys.modules[name]
            sys.modules.update(unloaded)
            sys.path[:] = path
            raise


def _unload_namesake(folder: Path, package: str) -> dict[str, ModuleType]:
    """Unload a package that the folder has too and that was imported from elsewhere; returns its modules by name."""
    loaded = sys.modules.get(package)
    if loaded is None or not ((folder / package).is_dir() or (folder / f"{package}.py").is_file()):
        return {}
    sources = [*getattr(loaded, "__path__", ()), getattr(loaded, "__file__", None) or ""]
    if any(Path(source).resolve().is_relative_to(folder) for source in sources if source):
        return {}
    importlib.invalidate_caches()
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _is_of(package, name)}


def _is_of(package: str, module: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _import_problem(error: Exception, folder: Path) -> str:
    """Describe an error, with the line of the deployment's own code that raised it."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} in {display_path(Path(error.filename), folder)}:{error.lineno}"
    own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(folder)]
    return f"{text} at {display_path(Path(own[-1].filename), folder)}:{own[-1].lineno}" if own else text


def _tables(
    metadata: tuple[sa.MetaData, ...], source: _Source, mistakes: list[Mistake], *, empty: bool
) -> dict[str, sa.Table]:
    tables: dict[str, sa.Table] = {}
    for one in metadata:
        for key, table in one.tables.items():
            if tables.setdefault(key, table) is not table:
                mistakes.append(source.mistake(f"models: the table {key!r} is defined twice", "models"))
    if not tables and not mistakes and not empty:
        what = "the metadata holds no table; is every module of models imported?"
        problem = (
            f"models: {what if metadata else 'none is named, such as `models:metadata`.'} The tables of a database that"
            " is there already are written down by `ringfence reflect`"
        )
        mistakes.append(source.mistake(problem, "models"))
    return tables


def _adapt(
    folder: Path,
    metadata: tuple[sa.MetaData, ...],
    source: _Source,
    given: DeploymentFile,
    mistakes: list[Mistake],
) -> list[Mistake]:
    """Apply `leave_out` and `naming` of ringfence.toml to the models, drop duplicates, and return notes about it."""
    restore(metadata)
    listed = [table for one in metadata for table in one.tables.values() if table.key == VERSION_TABLE]
    mistakes += leave_out(metadata, given.leave_out, source.mistake)
    give_names(
        metadata,
        NAMING if isinstance(given.naming, str) else {str(k): v for k, v in given.naming.items()},
    )
    source_lines = SourceLines(folder)
    notes = [source_lines.mistake(table, None, note) for table, note in remove_duplicates(metadata)]
    problem = f"{VERSION_TABLE!r} is among them, and left out: Alembic makes it"
    return [*notes, Mistake(FILE, source.line("models"), f"models: {problem}")] if listed else notes


def _broken(mistakes: list[Mistake]) -> bool:
    """Whether ringfence.toml has mistakes: tables may be missing then, so the manifest cannot be resolved."""
    return any(mistake.file == FILE for mistake in mistakes)


def _manifest(folder: Path, name: str, source: _Source) -> Document | None:
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadDeployment(
            [source.mistake(f"access: {name!r} cannot be read: {error}", "access")]
        ) from error
    return Document(name, text)
