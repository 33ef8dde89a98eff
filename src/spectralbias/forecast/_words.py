"""What advice says."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._recommend import Choice

# Two encodings whose PSNR differs by less are as good, in dB.
TIE = 0.3
# A candidate that is so far behind is worth a word.
BEHIND = 1.0
# What is fitted so much better than what lies between is too rough.
GAP = 5.0


def why(table: "tuple[Choice, ...]", budget: int) -> str:
    """Why the first is the first: what holds those back that are furthest behind."""
    pick = table[0]
    text = f"{pick.label} is expected to reach {pick.psnr:.1f} dB between the samples after {budget:,} steps."
    slow = [choice for choice in table if choice.psnr < pick.psnr - BEHIND and choice.train_psnr < pick.psnr]
    rough = [choice for choice in table if choice.psnr < pick.psnr - BEHIND and choice.train_psnr > choice.psnr + GAP]
    if slow:
        worst = min(slow, key=lambda choice: choice.train_psnr)
        text += f" {worst.label} is too slow: {worst.train_psnr:.1f} dB even on the samples it is trained on."
    if rough:
        worst = max(rough, key=lambda choice: choice.train_psnr - choice.psnr)
        text += (
            f" {worst.label} fits its samples to {worst.train_psnr:.0f} dB, and what lies between them only to "
            f"{worst.psnr:.1f}: it is too rough."
        )
    return text


def notes(
    table: "tuple[Choice, ...]", optimizer: str, of_the_mean: float, learning_rate: float | str
) -> tuple[str, ...]:
    """What to doubt."""
    pick, found = table[0], []
    ties = [choice.label for choice in table[1:] if choice.psnr > pick.psnr - TIE]
    if ties:
        found.append(f"As good within {TIE} dB: {', '.join(ties)}.")
    if pick.psnr < of_the_mean + 1:
        found.append(
            f"The mean alone has {of_the_mean:.1f} dB: at this spacing the target is like noise between its "
            "samples, and no encoding helps much."
        )
    if optimizer == "adam":
        found.append(
            "For Adam the pick is more reliable than the numbers: its first 100 steps are taken, and what follows is "
            "calibrated."
        )
        if learning_rate not in ("auto", 1e-3):
            found.append("It was calibrated at a learning rate of 0.001, and is taken to be proportional to it.")
    return tuple(found)
