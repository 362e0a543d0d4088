"""What can keep an order from becoming pixels. Messages carry numbers, field names and remedies, never the prompt."""

PART_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What a stranger's part may raise. The last two would end the process from a task of the event loop; a signal does not
come this way, so whoever raises them is a part."""


class InferenceError(Exception):
    """Base of everything this package raises on purpose."""


class OrderRefused(InferenceError):
    """The order asks for what the model cannot do. `field`: name in `RenderOrder`; `remedy`: what to send instead."""

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field
        self.remedy = remedy


class UnknownModel(InferenceError):
    """No engine here serves the model asked for. `known`: the ids that are served."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(f"no such model here; choose one of: {', '.join(known)}")
        self.known = known


class QueueFull(InferenceError):
    """Every waiting place is taken. `retry_after_seconds`: estimate from recent renders, at least 1."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"the render queue is full; try again in about {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class RenderCancelled(InferenceError):
    """The order was called off before its picture was finished; nothing was kept."""

    def __init__(self) -> None:
        super().__init__("the render was cancelled")


class RenderTimeout(InferenceError):
    """Rendering took longer than allowed; the engine stops at its next step."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rendering took longer than {seconds:g} s; ask for fewer steps or a smaller picture")
        self.seconds = seconds


class EngineOutOfMemory(InferenceError):
    """The device had not enough memory for this order. The engine stays usable."""


class EngineBroken(InferenceError):
    """The engine failed for a reason of its own; the cause is chained, and is not for clients."""


class DispatcherClosed(InferenceError):
    """The process is shutting down and takes no more orders."""

    def __init__(self) -> None:
        super().__init__("the render queue is closing; ask again after the restart")


class WeightsError(InferenceError):
    """The weights cannot be used: missing, of another digest than pinned, or in a format that can carry code."""
