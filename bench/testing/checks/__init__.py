"""The checks of the conformance kit: rules for every method. Each check has a message that names the fault."""

from collections.abc import Callable

from bench.testing.checks.declarations import declares_exceptions, gives_the_gradients_it_declares, says_what_it_does
from bench.testing.checks.failed import CheckFailed
from bench.testing.checks.files import finishes_with_the_same_outputs, reloads_in_a_fresh_process
from bench.testing.checks.same_again import goes_on_from_any_step, is_deterministic
from bench.testing.checks.sizes import (
    is_counted_right,
    keeps_masks_and_count,
    meets_budgets,
    meets_budgets_of_bytes,
    refuses_the_impossible,
    stores_one_value_a_number,
)
from bench.testing.checks.training import (
    can_overfit,
    steps_like_dense,
    trains_every_value,
    trains_in_bfloat16,
    works_on_a_gpu,
)
from bench.testing.subject import Subject

__all__ = ["CHECKS", "CheckFailed"]

CHECKS: dict[str, Callable[[Subject], str | None]] = {
    check.__name__: check
    for check in (
        says_what_it_does,
        meets_budgets,
        meets_budgets_of_bytes,
        refuses_the_impossible,
        is_deterministic,
        trains_every_value,
        declares_exceptions,
        gives_the_gradients_it_declares,
        steps_like_dense,
        trains_in_bfloat16,
        keeps_masks_and_count,
        can_overfit,
        is_counted_right,
        stores_one_value_a_number,
        goes_on_from_any_step,
        reloads_in_a_fresh_process,
        finishes_with_the_same_outputs,
        works_on_a_gpu,
    )
}
