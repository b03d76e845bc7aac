"""Where a scheme is registered: all that configurations, data sets and their readers need to know of it, said once.

The schemes of this package register themselves when it is imported, and a user's own scheme in the same way. Installed
packages may bring schemes as entry points of the group `dkjax.schemes`. No name in a configuration or a data set causes
an import: `load_installed` imports what is installed, whatever it is asked for.
"""

import dataclasses
import functools
import importlib.metadata
import inspect
import math
import operator
import re
from collections.abc import Callable
from typing import Any, ParamSpec, overload

import numpy as np

from dkjax.cipher.scheme import Scheme, SchemeParameter
from dkjax.cipher.transforms import BlockScrambling, BlockwisePixelPermutation, PixelPermutation
from dkjax.errors import ArgumentError, ConfigError, nearest

ENTRY_POINTS = "dkjax.schemes"
"""The group of entry points by which an installed package brings schemes: each named as its scheme, for a module."""

_Arguments = ParamSpec("_Arguments")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_TEXT = 256


@dataclasses.dataclass(frozen=True)
class Registration:
    """What is known of a scheme.

    Attributes:
        name: under which configurations and data sets name it.
        factory: makes it; every parameter has a default.
        not_hidden: what it leaves to be seen, where its transforms do not say so.
        pixelwise: its blocks are single pixels; a configuration has to say `block_size = 1`.
        shipped: it comes with dkjax, so that every reader of a data set has it.
    """

    name: str
    factory: Callable[..., Scheme]
    not_hidden: str | None
    pixelwise: bool
    shipped: bool

    @property
    def parameters(self) -> dict[str, SchemeParameter]:
        """The names of its parameters, `block_size` among them, and their defaults."""
        return {name: one.default for name, one in inspect.signature(self.factory).parameters.items()}

    @property
    def restrictions(self) -> tuple[str, ...]:
        """By which parameters it leaves positions at their place: `fixed_blocks`, `fixed_pixels`, both or none."""
        return tuple(name for name in ("fixed_blocks", "fixed_pixels") if name in self.parameters)

    @property
    def adaptable(self) -> bool:
        """Whether a ViT's embedding can take in its key: a permutation of blocks and then one of values, no more."""
        return [type(step) for step in self.factory().transforms] == [BlockScrambling, PixelPermutation]

    @property
    def takes_uint8(self) -> bool:
        """Whether it takes `uint8` images, which are those that clients upload."""
        scheme = self.factory(block_size=self.parameters["block_size"])
        shape = (scheme.block_size, scheme.block_size, 3)
        try:
            scheme.check(shape)
        except ArgumentError:
            return True  # of that shape it takes none, of any dtype
        try:
            scheme.check(shape, np.uint8)
        except ArgumentError:
            return False
        return True


_REGISTERED: dict[str, Registration] = {}


@overload
def register(
    factory: Callable[_Arguments, Scheme],
    /,
    *,
    not_hidden: str | None = None,
    pixelwise: bool = False,
    later: tuple[str, ...] = (),
) -> Callable[_Arguments, Scheme]: ...


@overload
def register(
    *, not_hidden: str | None = None, pixelwise: bool = False, later: tuple[str, ...] = ()
) -> Callable[[Callable[_Arguments, Scheme]], Callable[_Arguments, Scheme]]: ...


def register(
    factory: Any = None,
    /,
    *,
    not_hidden: str | None = None,
    pixelwise: bool = False,
    later: tuple[str, ...] = (),
) -> Any:
    """Register a scheme, so that it can be named in a configuration and written to a data set.

    Args:
        factory: a function that makes the scheme, named as the scheme. It takes `block_size`, and more as it likes:
            whole numbers, finite numbers and texts, as JSON has them, each with a default. Without it, a decorator is
            returned.
        not_hidden: what the scheme leaves to be seen, as the end of a sentence "Not hidden: ...". Needed unless all
            transforms say so themselves, by a method `leaves`.
        pixelwise: the scheme's blocks are single pixels, and the patches of a ViT are something else.
        later: parameters that the scheme did not have at first. At their defaults they are not written to a data set,
            which so stays what it was, and readable by those who have the scheme without them.

    Returns:
        The function, whose schemes know their parameters from now on.

    Raises:
        ArgumentError: the name is taken or cannot be written, a parameter has no default or is none that JSON has, or
            nothing says what the scheme does not hide.

    Guarantees:
        - what is registered can be configured, written and read like the schemes that come with dkjax
          (`test_own_scheme.py::test_from_a_configuration_to_a_training`).
        - a scheme that does not give its images back is refused before it encrypts for a data set or a simulation
          (`test_own_scheme.py::test_a_scheme_that_does_not_round_trip`).

    Example:
        >>> from dkjax.cipher.transforms import BlockScrambling
        >>> @register
        ... def blocks_alone(block_size: int = 8) -> Scheme:
        ...     return Scheme("blocks_alone", block_size, (BlockScrambling(),))
        >>> by_name("blocks_alone", block_size=4) == blocks_alone(4)
        True
        >>> unregister("blocks_alone")
    """
    if factory is None:
        return functools.partial(register, not_hidden=not_hidden, pixelwise=pixelwise, later=later)
    signature = inspect.signature(factory)
    name = factory.__name__
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"a scheme cannot be called {name!r}: letters, digits, '.', '_' and '-', at most 64")
    for parameter in signature.parameters.values():
        if parameter.default is parameter.empty or not _NAME.fullmatch(parameter.name):
            raise ArgumentError(f"the parameter {parameter} of the scheme {name} needs a name and a default value")
    if "block_size" not in signature.parameters:
        raise ArgumentError(f"the scheme {name} has no parameter block_size, which whoever trains on its images needs")

    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Scheme:
        scheme = factory(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        if not isinstance(scheme, Scheme) or scheme.name != name or scheme.block_size != given.arguments["block_size"]:
            raise ArgumentError(f"the scheme {name} must be a Scheme({name!r}, block_size, ...), got {scheme!r}")
        written = {
            key: value
            for key, value in given.arguments.items()
            if key not in later or value != signature.parameters[key].default
        }
        parameters = tuple((key, _plain(name, key, value)) for key, value in written.items())
        return dataclasses.replace(scheme, parameters=parameters)

    steps = make().transforms
    if silent := [type(step).__name__ for step in steps if not not_hidden and not hasattr(step, "leaves")]:
        raise ArgumentError(
            f"the scheme {name} does not say what it leaves to be seen, for {silent[0]} does not: "
            'register it with not_hidden="..."'
        )
    if name in _REGISTERED:
        raise ArgumentError(f"there is a scheme {name} already: choose another name, or dkjax.schemes.unregister it")
    shipped = factory.__module__ == f"{__package__}.{name}"
    _REGISTERED[name] = Registration(name, make, not_hidden, pixelwise, shipped)
    return make


def unregister(name: str) -> None:
    """Forget a scheme, so that its name is free: for a notebook in which it is defined once more.

    Raises:
        ArgumentError: there is none of this name, or it comes with dkjax.
    """
    if name not in _REGISTERED or _REGISTERED[name].shipped:
        raise ArgumentError(f"there is no scheme {name!r} of your own")
    del _REGISTERED[name]


def load_installed() -> None:
    """Import the schemes that installed packages bring, all of them.

    Raises:
        ConfigError: one cannot be imported, or does not register what it is named after.
    """
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name in _REGISTERED:
            continue
        where = f"the scheme {entry.name} of the installed package {entry.dist.name if entry.dist else entry.value}"
        try:
            entry.load()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(f"{where} cannot be imported, repair or uninstall it: {problem}") from error
        if entry.name not in _REGISTERED:
            raise ConfigError(f"{where} is not registered by {entry.value}: see docs/schemes.md, or uninstall it")


def registered(name: str) -> Registration | None:
    """Return what is known of a scheme, or None; nothing is imported."""
    return _REGISTERED.get(name)


def find(name: str) -> Registration:
    """Return what is known of a scheme, which an installed package may bring.

    Raises:
        ArgumentError: there is no such scheme.
        ConfigError: as `load_installed`.
    """
    if name not in _REGISTERED:
        load_installed()
    if name not in _REGISTERED:
        raise ArgumentError(f"there is no scheme {name!r}; {nearest(name, names())}")
    return _REGISTERED[name]


def names() -> tuple[str, ...]:
    """Return the names of all registered schemes, in order: those that come with dkjax, then a user's own."""
    return tuple(_REGISTERED)


def by_name(name: str, **parameters: Any) -> Scheme:
    """Make a scheme by its name.

    Args:
        name: one of `names()`, or one that an installed package brings.
        **parameters: what the scheme's function takes: `block_size`, and `fixed_blocks` and `fixed_pixels` where the
            scheme leaves positions at their place.

    Returns:
        The scheme.

    Raises:
        ArgumentError: there is no such scheme, or it does not take such a parameter or value.

    Example:
        >>> by_name("patch_shuffle", block_size=8)
        Scheme(name='patch_shuffle', block_size=8, transforms=(BlockScrambling(fixed=0),))
    """
    registration = find(name)
    known = registration.parameters
    if unknown := [parameter for parameter in parameters if parameter not in known]:
        takes = ", ".join(known)
        raise ArgumentError(f"the scheme {name} has no parameter {unknown[0]}: it takes {takes}")
    return registration.factory(**parameters)


def parameters_of(scheme: Scheme) -> dict[str, SchemeParameter]:
    """Return what `by_name` needs to make this scheme again.

    Args:
        scheme: one that a registered function made. If it was made past the registration, parameters are read off the
            fields of its transforms, as far as these have their names.

    Returns:
        The parameters by name.

    Raises:
        ArgumentError: the scheme is not registered, or was put together in another way.

    Example:
        >>> parameters_of(by_name("disposable", block_size=8, fixed_blocks=3))
        {'block_size': 8, 'fixed_blocks': 3, 'fixed_pixels': 0}
    """
    registration = registered(scheme.name)
    parameters = dict(scheme.parameters) or (_read_off(scheme, registration) if registration else {})
    made = None if registration is None else registration.factory(**parameters)
    if made is None or made != scheme:
        raise ArgumentError(
            f"{scheme!r} has no name under which another could make it: take one of dkjax.schemes, or register the "
            "function that makes it by dkjax.schemes.register and call what that returns"
        )
    return dict(made.parameters)


def _fields(step: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(step) if dataclasses.is_dataclass(step) else ()


def _read_off(scheme: Scheme, registration: Registration) -> dict[str, SchemeParameter]:
    """Take from a scheme's steps what its parameters may have been."""
    found: dict[str, Any] = {"block_size": scheme.block_size}
    for step in scheme.transforms:
        found |= {field.name: getattr(step, field.name) for field in _fields(step)}
        if isinstance(step, BlockScrambling):
            found["fixed_blocks"] = step.fixed
        elif isinstance(step, PixelPermutation):
            found["fixed_pixels"] = step.fixed
        elif isinstance(step, BlockwisePixelPermutation):
            found |= {"fixed_pixels": step.fixed, "pixel_order": "block"}
    return {name: found.get(name, default) for name, default in registration.parameters.items()}


def _plain(scheme: str, name: str, value: Any) -> SchemeParameter:
    """Return a parameter as JSON has it in every language."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable():
        return value
    if isinstance(value, float | np.floating) and math.isfinite(value) and value >= 0:
        return float(value)
    try:
        if 0 <= (number := operator.index(value)) < 2**53:
            return number
    except TypeError:
        pass
    raise ArgumentError(
        f"{name}={value!r} of the scheme {scheme} cannot be written to a data set: expected a number of at least 0, "
        f"true, false, or a text of at most {_MAX_TEXT} printable characters"
    )
