"""Pictures in which nothing can be made out: fog, blur, half-drawn things, bare grounds, textures as of photographs.

A model that was asked for words it does not know draws fog. A classifier that never saw any must take it for something,
and took it for weapons; these pictures teach it to say that there is nothing.
"""

import numpy
import numpy.typing
import torch
import torch.nn.functional as F  # noqa: N812

Images = numpy.typing.NDArray[numpy.uint8]


def nothing(images: Images, harmless: numpy.typing.NDArray[numpy.bool_], number: int, seed: int) -> Images:
    """(number, side, side, 3), made from scenes `images`. `harmless`: those that may shine through."""
    stream = numpy.random.default_rng(seed)
    kinds = (_overlaid, _blurred, _faint, _clouds, _leaves, _plain)
    safe = numpy.flatnonzero(harmless)
    made = [kinds[place % len(kinds)](images, safe, stream) for place in range(number)]
    return numpy.stack([numpy.clip(picture, 0, 255).astype(numpy.uint8) for picture in made])


Picture = numpy.typing.NDArray[numpy.float32]
Places = numpy.typing.NDArray[numpy.int64]


def _overlaid(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """Several scenes at once: what a network draws that cannot decide."""
    chosen = stream.choice(len(images), stream.integers(4, 9), replace=False)
    mean = images[chosen].mean(0, dtype=numpy.float32)
    return _grained(_soft(mean, stream.uniform(0.5, 5.0)), stream.uniform(0, 12), stream)


def _blurred(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """One scene, blurred past all recognition."""
    return _soft(images[stream.integers(len(images))].astype(numpy.float32), stream.uniform(12.0, 24.0))


def _faint(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """A harmless scene, hardly begun."""
    ground = _soft(images[stream.choice(safe)].astype(numpy.float32), 24.0)
    share = stream.uniform(0.05, 0.3)
    return ground * (1 - share) + _soft(images[stream.choice(safe)].astype(numpy.float32), 3.0) * share


def _clouds(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """Noise whose strength falls with frequency, as in photographs (Field 1987)."""
    side = images.shape[1]
    frequencies = numpy.hypot(numpy.fft.fftfreq(side)[:, None], numpy.fft.rfftfreq(side)[None])
    frequencies[0, 0] = 1.0
    strength = frequencies ** -stream.uniform(0.7, 1.9)
    strength[0, 0] = 0.0
    waves = stream.normal(size=(3, *frequencies.shape)) + 1j * stream.normal(size=(3, *frequencies.shape))
    waves = waves * 0.5 + waves.mean(0) * 1.2  # channels go together mostly
    field = numpy.fft.irfft2(waves * strength, s=(side, side)).transpose(1, 2, 0)
    return numpy.asarray(field / field.std() * stream.uniform(15, 60) + stream.uniform(50, 200, 3), numpy.float32)


def _leaves(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """Ellipses of many sizes and colours over one another (dead leaves, Lee, Mumford and Huang 2001)."""
    side = images.shape[1]
    rows, columns = numpy.mgrid[0:side, 0:side].astype(numpy.float32)
    picture = numpy.broadcast_to(stream.uniform(30, 220, 3), (side, side, 3)).astype(numpy.float32).copy()
    main = stream.uniform(30, 220, 3)
    for _ in range(stream.integers(10, 60)):
        turn, radius = stream.uniform(0, numpy.pi), side * 0.5 * stream.uniform(0.06, 1.0) ** 2 + 2
        down, across = rows - stream.uniform(0, side), columns - stream.uniform(0, side)
        along = (down * numpy.cos(turn) + across * numpy.sin(turn)) / radius
        athwart = (across * numpy.cos(turn) - down * numpy.sin(turn)) / (radius * stream.uniform(0.4, 1.0))
        inside = along**2 + athwart**2 < 1
        picture[inside] = main + stream.normal(0, 50, 3) + along[inside, None] * stream.uniform(-30, 30)
    return _grained(_soft(picture, stream.uniform(0.3, 2.0)), stream.uniform(0, 8), stream)


def _plain(images: Images, safe: Places, stream: numpy.random.Generator) -> Picture:
    """A bare ground: a colour, shaded, with or without grain."""
    side = images.shape[1]
    slope = numpy.linspace(-1, 1, side, dtype=numpy.float32)
    tilt = stream.uniform(-50, 50, (2, 3))
    picture = stream.uniform(0, 255, 3) + slope[:, None, None] * tilt[0] + slope[None, :, None] * tilt[1]
    return _grained(numpy.asarray(picture, numpy.float32), stream.uniform(0, 10), stream)


def _grained(picture: Picture, strength: float, stream: numpy.random.Generator) -> Picture:
    return numpy.asarray(picture + stream.normal(0, strength, picture.shape), numpy.float32)


def _soft(picture: Picture, sigma: float) -> Picture:
    """Blurred by a Gaussian of `sigma` pixels, the borders mirrored."""
    reach = int(min(3 * sigma + 1, picture.shape[0] - 1))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    planes = torch.from_numpy(numpy.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    wide = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="reflect"), kernel, groups=3)
    both = F.conv2d(F.pad(wide, (0, 0, reach, reach), mode="reflect"), kernel.transpose(2, 3), groups=3)
    soft: Picture = both[0].permute(1, 2, 0).numpy()
    return soft
