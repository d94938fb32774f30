"""A space: a name, a unit and axes in which positions have one meaning."""

from __future__ import annotations

from dataclasses import dataclass

from integrate.errors import AlignmentError, DataError, UnitError

__all__ = ["Space", "check_meets"]


@dataclass(frozen=True, slots=True)
class Space:
    """A frame of reference: positions of two spaces are never compared, only taken from one to the other.

    Parameters
    ----------
    name
        Its name, e.g. the coordinate system of a SpatialData object or a DICOM frame of reference.
    unit
        ``"um"``, ``"mm"``, ``"px"``, or ``""`` where the source does not say.
    axes
        Names of the axes in the order of a position's numbers, ``("x", "y")`` or ``("x", "y", "z")``.

    Raises
    ------
    DataError
        If the axes are none of these two.

    Examples
    --------
    >>> Space("slide", "um")
    Space(name='slide', unit='um', axes=('x', 'y'))
    """

    name: str
    unit: str
    axes: tuple[str, ...] = ("x", "y")

    def __post_init__(self) -> None:
        if self.axes not in (("x", "y"), ("x", "y", "z")):
            raise DataError(f"axes of space {self.name!r} are {self.axes}; expected ('x', 'y') or ('x', 'y', 'z')")

    @property
    def ndim(self) -> int:
        """How many numbers a position has."""
        return len(self.axes)


def check_meets(here: Space, there: Space, *, what: str) -> None:
    """Raise unless two spaces are one.

    Parameters
    ----------
    here, there
        Where something is, and where it is expected.
    what
        Beginning of the message, e.g. ``"the image"``.

    Raises
    ------
    AlignmentError
        If their names or axes differ: only a declared or registered transform leads from one to the other.
    UnitError
        If one space is given in two units.
    """
    if not here.name or not there.name:
        raise AlignmentError(
            f"{what} does not say in which space it lies; name it with set_space(…, name=…), "
            "or give a transform from register or with declared spaces"
        )
    if here.name != there.name or here.axes != there.axes:
        raise AlignmentError(
            f"{what} lies in space {here.name!r} {here.axes}, expected {there.name!r} {there.axes}; "
            "give a transform between them: declare an Affine, or register one to the other"
        )
    if here.unit and there.unit and here.unit != there.unit:
        raise UnitError(f"{what} gives space {here.name!r} in {here.unit}, expected {there.unit}; convert it first")
