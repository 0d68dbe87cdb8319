"""What a person may ask of the work while it goes on: to pause, to go on, to end."""

from terminal.keyboard import Keyboard
from terminal.signals import Interruption, Pause

PAUSE_KEYS = " p"


class Controls:
    """Signals, and keys where there is a keyboard. To be made in the main thread."""

    def __init__(self, *, keyboard: bool) -> None:
        """`keyboard` is False where standard input is the log."""
        self.interruption = Interruption().listen()
        self.pause = Pause().listen()
        self.keyboard = Keyboard(wanted=keyboard)
        self.interruption.before_leaving.append(self.keyboard.give_back)

    def look(self) -> None:
        """Do what the keys say that were typed since the last look."""
        for key in self.keyboard.pressed():
            if key in PAUSE_KEYS:
                self.pause.toggle()
