"""What can keep an order from becoming pixels. Messages carry numbers, field names and remedies, never the prompt."""

from typing import ClassVar

PART_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What a stranger's part may raise. The last two would end the process from a task of the event loop; a signal does not
come this way, so whoever raises them is a part."""


class InferenceError(Exception):
    """Base of everything this package raises on purpose. `code`: stable, for whoever tells it to a caller."""

    code: ClassVar[str] = "engine_failed"


class OrderRefused(InferenceError):
    """The order asks for what the model cannot do. `field`: name in `RenderOrder`; `remedy`: what to send instead."""

    code = "invalid_request"
    problem = "the model does not accept this value"

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field
        self.remedy = remedy


class UnknownModel(InferenceError):
    """No engine here serves the model asked for. `known`: the ids that are served."""

    code = "model_not_found"

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(f"no such model here; choose one of: {', '.join(known)}")
        self.known = known


class QueueFull(InferenceError):
    """Every waiting place is taken. `retry_after_seconds`: estimate from recent renders, at least 1."""

    code = "queue_full"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"the render queue is full; try again in about {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class RenderCancelled(InferenceError):
    """The order was called off before its picture was finished; nothing was kept."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the render was cancelled")


class RenderTimeout(InferenceError):
    """Rendering took longer than allowed; the engine stops at its next step."""

    code = "render_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rendering took longer than {seconds:g} s; ask for fewer steps or a smaller picture")
        self.seconds = seconds


class EngineOutOfMemory(InferenceError):
    """The device had not enough memory for this order. The engine stays usable."""

    code = "engine_out_of_memory"


class EngineBroken(InferenceError):
    """The engine failed for a reason of its own; the cause is chained, and is not for clients."""


class DispatcherClosed(InferenceError):
    """The process is shutting down and takes no more orders."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("the render queue is closing; ask again after the restart")


class WeightsError(InferenceError):
    """The weights cannot be used: missing, of another digest than pinned, or in a format that can carry code."""
